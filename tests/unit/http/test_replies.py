"""Replies that choose their status, that are kept, that may be cached; parameters whose names Python does not allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import Field

from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, public
from promptforge.core.runtime import Actor, at_hand, handles
from promptforge.http.routing import Route, check, get, post
from tests.unit.http.sample import Parts, Served, serving

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class PotView:
    """A pot; `text` is long enough to be compressed."""

    id: str
    text: str


@public
class MakePot(Command[Made[PotView]]):
    """Make a pot, or find it."""

    name: str


@public
class GetPot(Query[PotView]):
    """Read a pot."""

    pot_id: str


@public
class ComparePots(Query[PotView]):
    """Compare two."""

    first: Annotated[int, Field(alias="from")]
    second: Annotated[int, Field(alias="to")] = 0


class PotsActor(Actor):
    name = "pots"

    def __init__(self) -> None:
        self.pots: dict[str, PotView] = {}
        self.near: set[str] = set()
        self.asked = 0

    @handles(MakePot)
    async def make(self, message: MakePot, context: Context) -> Made[PotView]:
        known = message.name in self.pots
        return Made(self.pots.setdefault(message.name, PotView(message.name, "x" * 600)), new=not known)

    @at_hand(GetPot)
    def find(self, message: GetPot, context: Context) -> PotView | None:
        return self.pots.get(message.pot_id) if message.pot_id in self.near else None

    @handles(GetPot)
    async def get(self, message: GetPot, context: Context) -> PotView:
        self.asked += 1
        return self.pots[message.pot_id]

    @handles(ComparePots)
    async def compare(self, message: ComparePots, context: Context) -> PotView:
        return PotView("both", f"{message.first}-{message.second}")


ROUTES: tuple[Route, ...] = (
    post("/pots", MakePot, status=201, location="/pots/{id}"),
    get("/pots/{pot_id}", GetPot, cache_control="private, no-cache", repeats=True),
    get("/pots", ComparePots),
)


def pots(actor: PotsActor | None = None) -> Any:  # Any: a context manager of a Served
    return serving(Parts(routes=ROUTES, actors=[actor or PotsActor()]))


async def test_a_reply_says_whether_something_was_made() -> None:
    service: Served
    async with pots() as service:
        answers = [await service.client.post("/api/v1/pots", json={"name": "a"}) for _ in range(2)]
        described = (await service.client.get("/api/v1/openapi.json")).json()
    assert [(one.status_code, one.headers["location"], one.json()["id"]) for one in answers] == [
        (201, "/api/v1/pots/a", "a"),
        (200, "/api/v1/pots/a", "a"),
    ]
    responses = described["paths"]["/api/v1/pots"]["post"]["responses"]
    schemas = [responses[status]["content"]["application/json"]["schema"] for status in ("200", "201")]
    assert schemas == [{"$ref": "#/components/schemas/PotView"}] * 2
    assert all("Location" in responses[status]["headers"] for status in ("200", "201"))
    assert not [name for name in described["components"]["schemas"] if "Made" in name]


def test_what_may_make_something_is_a_201() -> None:
    with pytest.raises(ConfigurationError, match="that is a 201"):
        check([post("/pots", MakePot)], [MakePot])


async def test_a_reply_that_repeats_is_sent_from_what_is_kept_and_never_as_another() -> None:
    actor = PotsActor()
    service: Served
    async with pots(actor) as service:
        actor.pots["a"] = PotView("a", "1" * 600)
        first, again = [await service.client.get("/api/v1/pots/a") for _ in range(2)]
        del actor.pots["a"]  # what is kept holds the old one, so that its id is not given to another
        other = first
        for number in range(2, 80):
            actor.pots["a"] = PotView("a", str(number) * 300)
            other = await service.client.get("/api/v1/pots/a")
            assert other.json()["text"] == str(number) * 300
        known = await service.client.get("/api/v1/pots/a", headers={"if-none-match": other.headers["etag"]})
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert (known.status_code, known.headers["cache-control"]) == (304, "private, no-cache")
    assert first.headers["cache-control"] == "private, no-cache"


async def test_what_is_at_hand_is_answered_without_asking_and_the_rest_is_asked() -> None:
    actor = PotsActor()
    actor.pots = {name: PotView(name, name) for name in "ab"}
    actor.near = {"a"}
    service: Served
    async with pots(actor) as service:
        texts = [(await service.client.get(f"/api/v1/pots/{name}")).json()["text"] for name in "abab"]
        refused = await service.client.get("/api/v1/pots/a", headers={"authorization": "Bearer nobody"})
    assert (texts, actor.asked) == (list("abab"), 2)
    assert refused.status_code == 401, "who asks is judged before"


def test_a_command_is_never_at_hand() -> None:
    with pytest.raises(TypeError, match="no query"):
        at_hand(MakePot)


async def test_who_takes_nothing_compressed_gets_it_plain_and_is_told_that_it_varies() -> None:
    actor = PotsActor()
    actor.pots["a"] = PotView("a", "1" * 600)
    service: Served
    async with pots(actor) as service:
        plain = await service.client.get("/api/v1/pots/a", headers={"accept-encoding": "identity"})
        packed = await service.client.get("/api/v1/pots/a", headers={"accept-encoding": "gzip"})
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert "Accept-Encoding" in plain.headers["vary"]
    assert plain.content == packed.content
    assert plain.headers["etag"] == packed.headers["etag"]


async def test_a_parameter_may_have_a_name_that_python_does_not_allow() -> None:
    service: Served
    async with pots() as service:
        right = await service.client.get("/api/v1/pots?from=1&to=2")
        wrong = await service.client.get("/api/v1/pots?from=1.0&to=x&first=1")
        described = (await service.client.get("/api/v1/openapi.json")).json()
    assert right.json()["text"] == "1-2"
    told = {error["parameter"]: error["code"] for error in wrong.json()["errors"]}
    assert told == {"from": "int_parsing", "to": "int_parsing", "first": "unknown_parameter"}
    names = [one["name"] for one in described["paths"]["/api/v1/pots"]["get"]["parameters"]]
    assert names[:2] == ["from", "to"]
