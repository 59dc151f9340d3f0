"""A small feature with every kind of message, and a client over the whole application, for the tests of the edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any
from unittest import mock

import anyio
import httpx
from annotated_types import Ge, Len
from prometheus_client import CollectorRegistry
from pydantic import Field
from starlette.applications import Starlette

from promptforge.core.context import Context
from promptforge.core.errors import Conflict, NotFound
from promptforge.core.identity import NOBODY, Asker, InvalidToken
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, System, handles
from promptforge.http import rates
from promptforge.http.app import Collaborators, HttpSettings, build_app
from promptforge.http.counters import ProcessCounters
from promptforge.http.health import Probe
from promptforge.http.metrics import Scraped
from promptforge.http.middleware import Translate, translate_nothing
from promptforge.http.routing import Route, delete, get, patch, post

AT = 1_700_000_000.0
"""When all requests are counted: a test whose requests fell into two minutes might be allowed one more."""
ALICE = {"authorization": "Bearer alice"}
OPERATOR = {"authorization": "Bearer operator"}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Size:
    """How large."""

    width: Annotated[int, Ge(1)]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ThingView:
    """A thing."""

    id: str
    title: str
    colour: Colour
    made_at: datetime
    size: Size | None = None


class OutOfStock(Conflict):
    """Only for the documentation of one route."""

    code = "out_of_stock"
    status = 402
    title = "There are no more of these"


@public
class GetThing(Query[ThingView]):
    """Read one thing.

    The second paragraph is for the long description only.
    """

    thing_id: Annotated[str, Len(1, 40)]


@public
class ListThings(Query[Page[ThingView]]):
    """List things."""

    colour: Colour | None = None
    tags: tuple[str, ...] = ()
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="things:write")
class CreateThing(Command[ThingView]):
    """Make a thing."""

    title: Annotated[str, Len(1, 10), Field(examples=["Vase"])]
    colour: Colour = Colour.RED
    size: Size | None = None
    count: int = 1
    notes: dict[str, Any] = field(default_factory=dict)  # Any: JSON, as it comes


@requires(scope="things:write")
class RenameThing(Command[ThingView]):
    """Change a thing's title."""

    thing_id: str
    title: Annotated[str, Len(1, 10)] | None = None


@requires(Role.OPERATOR, scope="things:write", fresh=True)
class DeleteThing(Command[None]):
    """Throw a thing away."""

    thing_id: str


@public
class Wait(Query[ThingView]):
    """Answer only when told to."""


@requires(scope="things:write")
class WaitThenWrite(Command[None]):
    """Write only when told to."""


@public
class Fail(Query[ThingView]):
    """Fail in the way that is asked for."""

    how: str


@internal
class Secret(Query[None]):
    """Not for routes."""


def thing(identifier: str, **changes: Any) -> ThingView:  # Any: the view's fields
    made: dict[str, Any] = {"title": "Vase", "colour": Colour.RED, "made_at": datetime(2026, 11, 1, tzinfo=UTC)}
    return ThingView(id=identifier, **{**made, **changes})


class Things(Actor):
    """Keeps what it was sent. `failures` are what `Fail` raises, by name."""

    name = "things"

    def __init__(self) -> None:
        self.received: list[object] = []
        self.waiting = anyio.Event()
        self.go_on = anyio.Event()
        self.cancelled = anyio.Event()
        self.written = anyio.Event()
        self.failures: dict[str, Callable[[], Exception]] = {}

    @handles(GetThing, transactional=True)
    async def get(self, message: GetThing, context: Context) -> ThingView:
        self.received.append(message)
        if message.thing_id == "missing":
            raise NotFound("There is no such thing")
        return thing(message.thing_id, title="Vase" * (500 if message.thing_id == "large" else 1))

    @handles(ListThings)
    async def list(self, message: ListThings, context: Context) -> Page[ThingView]:
        self.received.append(message)
        return Page((thing("a"), thing("b")), None if message.cursor else "next1")

    @handles(CreateThing)
    async def create(self, message: CreateThing, context: Context) -> ThingView:
        self.received.append(message)
        return thing("thg 1", title=message.title, colour=message.colour, size=message.size)

    @handles(RenameThing, key="thing_id", transactional=True)
    async def rename(self, message: RenameThing, context: Context) -> ThingView:
        self.received.append(message)
        return thing(message.thing_id, title=message.title or "Vase")

    @handles(DeleteThing, key="thing_id", transactional=True)
    async def delete(self, message: DeleteThing, context: Context) -> None:
        self.received.append(message)

    @handles(Wait)
    async def wait(self, message: Wait, context: Context) -> ThingView:
        self.waiting.set()
        try:
            await self.go_on.wait()
        except BaseException:
            self.cancelled.set()
            raise
        return thing("waited")

    @handles(WaitThenWrite)
    async def wait_then_write(self, message: WaitThenWrite, context: Context) -> None:
        self.waiting.set()
        await self.go_on.wait()
        self.written.set()

    @handles(Fail)
    async def fail(self, message: Fail, context: Context) -> ThingView:
        error = self.failures[message.how]()
        raise error

    @handles(Secret)
    async def secret(self, message: Secret, context: Context) -> None:
        """Never reached over HTTP."""


ROUTES: tuple[Route, ...] = (
    get("/things", ListThings),
    post("/things", CreateThing, status=201, errors=(OutOfStock,)),
    get("/things/wait", Wait),
    post("/things/wait", WaitThenWrite),
    get("/things/fail/{how}", Fail),
    get("/things/{thing_id}", GetThing),
    patch("/things/{thing_id}", RenameThing),
    delete("/things/{thing_id}", DeleteThing),
)


class Known:
    """Principals whose token is their name; `resolved` records which tokens were verified, and how."""

    def __init__(self) -> None:
        self.resolved: list[tuple[str, bool]] = []
        self.cache: dict[str, Principal] = {}
        self.error: Exception | None = None

    def cached(self, token: str) -> Principal | None:
        return self.cache.get(token)

    def knows(self, token: str) -> bool:
        return token in self.cache

    async def resolve(self, token: str, *, fresh: bool = False, asker: Asker = NOBODY) -> Principal:
        self.resolved.append((token, fresh))
        if self.error is not None:
            raise self.error
        if token not in {"alice", "operator", "suspended", "program"}:
            raise InvalidToken
        roles = {Role.USER, Role.OPERATOR} if token == "operator" else {Role.USER}
        principal = Principal(
            user_id=f"usr_{token}",
            uid=token,
            roles=frozenset(roles),
            scopes=frozenset({"other:read"}) if token == "program" else None,
            suspended=token == "suspended",
        )
        self.cache[token] = principal
        return principal


@dataclass
class Served:
    """An application whose actors run, and a client for it."""

    app: Starlette
    client: httpx.AsyncClient
    system: System
    things: Things
    principals: Known


class NoMetrics:
    """Nothing to tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    async def refresh(self) -> None:
        """There is nothing."""


@dataclass
class Parts:
    """What a test may want otherwise than usual."""

    routes: Sequence[Route] = ROUTES
    settings: HttpSettings = field(default_factory=lambda: HttpSettings(version="1.2.3"))
    probes: Mapping[str, Probe] = field(default_factory=dict)
    translate: Translate = translate_nothing
    actors: Sequence[Actor] = ()
    metrics: Scraped | None = None


@asynccontextmanager
async def serving(parts: Parts | None = None) -> AsyncIterator[Served]:
    """Run the sample feature behind the whole edge, without a socket."""
    parts = parts or Parts()
    things = Things()
    principals = Known()
    system = System([things, *parts.actors])
    collaborators = Collaborators(principals, parts.probes, parts.translate, parts.metrics)
    with mock.patch.object(rates, "ProcessCounters", partial(ProcessCounters, lambda: AT)):
        app = build_app(system, collaborators, settings=parts.settings, routes=parts.routes)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        system.running(grace_seconds=1),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield Served(app, client, system, things, principals)
