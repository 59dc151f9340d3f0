"""The declarative route tables: what a feature's HTTP file consists of.

`routes = [get("/prompts/{prompt_id}", GetPrompt), post("/prompts", CreatePrompt, status=201)]`. A route only says which
message a method and a path stand for; parameters, bodies, errors and documentation follow from the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from promptforge.core.downloads import is_download
from promptforge.core.errors import ConfigurationError, PromptForgeError
from promptforge.core.made import made_of
from promptforge.core.messages import Access, Message, reply_type
from promptforge.core.streams import is_stream, whole_type
from promptforge.http.rates import RateClass

API_PREFIX = "/api/v1"

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
MessageClass = type[Message[Any]]
Errors = tuple[type[PromptForgeError], ...]

BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
EDIT_METHODS = frozenset({"PUT", "PATCH", "DELETE"})
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_PATH = re.compile(r"(/([a-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}))+")


@dataclass(frozen=True, slots=True)
class Upload:
    """The `field` of the message that takes the body as it is, and what the body's type has to be."""

    field: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a table. `path` is below `/api/v1`.

    `name` overrides the operation's name in the documentation (default: the message's). A message whose reply is
    `Made[...]` has the status 201 and is answered 200 where nothing new was made. `location` is the path template
    of what a 201 has made or of the job that a 202 has started, filled from reply and path (default for a 201: this
    path and `/{id}`, if that is served). `errors` are the feature's own, which the standard ones do not cover.
    """

    method: Method
    path: str
    message: MessageClass
    status: int = 200
    name: str | None = None
    tags: tuple[str, ...] = ()
    location: str | None = None
    errors: Errors = ()
    rate: RateClass = RateClass.DEFAULT
    cache_control: str | None = None
    """Of the reply, where nothing may be kept is not what it says."""
    repeats: bool = False
    """Its handler answers the same object again and again, from a cache of its own: its JSON is kept with it."""
    live: bool = False
    """Answered as server-sent events; see `http/live.py`."""
    followed: bool = False
    """Answered as what somebody is told, event by event; see `http/following.py`."""
    streamed: bool = False
    """Answered piece by piece to who accepts that; see `http/streams.py`."""
    file: bool = False
    """Answered by a file; see `http/downloads.py`."""
    upload: Upload | None = None
    """The body is a file; see `http/uploads.py`."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def shape(self) -> str:
        """The path without its parameters' names: two routes of one shape are the same route."""
        return _PARAMETER.sub("{}", self.path)

    @property
    def operation(self) -> str:
        """The name of the operation: `CreatePrompt` → `createPrompt`."""
        name = self.name or self.message.__name__
        return name[0].lower() + name[1:]

    @property
    def reply(self) -> Any:  # Any: the reply's type as declared
        """What the body holds in the end: of a stream the whole, of what may have been made the thing itself."""
        declared = reply_type(self.message)
        return made_of(declared) or whole_type(declared)

    @property
    def repeatable(self) -> bool:
        """Whether the reply says that there was one already."""
        return made_of(reply_type(self.message)) is not None

    @property
    def takes_body(self) -> bool:
        return self.method in BODY_METHODS


class Options(TypedDict, total=False):
    """See `Route`."""

    status: int
    name: str
    tags: tuple[str, ...]
    location: str
    errors: Errors
    rate: RateClass
    cache_control: str
    repeats: bool


def get(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    """HEAD is answered too, where the message is a query."""
    return Route("GET", path, message, **options)


def live(path: str, message: MessageClass, *, name: str) -> Route:
    """A query whose reply is sent again, as an event, each time it is another one."""
    return Route("GET", path, message, name=name, live=True)


def follow(path: str, message: MessageClass, *, name: str) -> Route:
    """The log of what its asker is told, as server-sent events that can be taken up again."""
    return Route("GET", path, message, name=name, followed=True)


def stream(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    """A command that answers a `ReplyStream`: as server-sent events where they are accepted, otherwise whole."""
    options.setdefault("rate", RateClass.EXPENSIVE)
    return Route("POST", path, message, streamed=True, **options)


def download(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    """A query that answers a `Download`: whole, or the part that a Range asks for."""
    return Route("GET", path, message, file=True, **options)


def upload(path: str, message: MessageClass, body: Upload, **options: Unpack[Options]) -> Route:
    """A command whose body is a file."""
    options.setdefault("rate", RateClass.EXPENSIVE)
    return Route("POST", path, message, upload=body, **options)


def post(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    """`status=201` for what makes a thing that has a path of its own."""
    return Route("POST", path, message, **options)


def put(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    return Route("PUT", path, message, **options)


def patch(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    return Route("PATCH", path, message, **options)


def delete(path: str, message: MessageClass, **options: Unpack[Options]) -> Route:
    return Route("DELETE", path, message, **options)


def check(routes: Iterable[Route], handled: Iterable[MessageClass]) -> None:
    """Refuse tables that could not be served as written: raises `ConfigurationError` with the one line about it."""
    known = frozenset(handled)
    shapes: dict[tuple[str, str], Route] = {}
    operations: dict[str, Route] = {}
    for route in routes:
        _check_route(route, known)
        twin = shapes.setdefault((route.method, route.shape), route)
        if twin is not route:
            raise ConfigurationError(f"{route.method} {route.path} is in the tables twice (also {twin.path})")
        twin = operations.setdefault(route.operation, route)
        if twin is not route:
            raise ConfigurationError(
                f"{route.method} {route.path} and {twin.method} {twin.path} are both called {route.operation}: "
                "give one of them a name"
            )


def _check_route(route: Route, handled: frozenset[MessageClass]) -> None:
    where = f"{route.method} {route.path}"
    message = route.message
    if not _PATH.fullmatch(route.path):
        raise ConfigurationError(f"{where}: a path is lower-case segments or {{parameters}}, without a trailing slash")
    if message.requirement is None:
        raise ConfigurationError(f"{where}: {message.__name__} does not declare who may send it")
    if message.requirement.access is Access.INTERNAL:
        raise ConfigurationError(f"{where}: {message.__name__} is internal, and internal messages have no route")
    if message not in handled:
        raise ConfigurationError(f"{where}: no actor handles {message.__name__}")
    if len(set(route.parameters)) < len(route.parameters):
        raise ConfigurationError(f"{where}: a parameter is in the path twice")
    if route.repeatable and route.status != 201:
        raise ConfigurationError(f"{where}: {message.__name__} may make something, and that is a 201")
    if route.streamed is not is_stream(reply_type(message)):
        raise ConfigurationError(f"{where}: `stream` is for commands that answer a ReplyStream, and for them only")
    if route.file is not is_download(reply_type(route.message)):
        raise ConfigurationError(f"{where}: `download` is for queries that answer a Download, and for them only")
    if route.location is not None and route.status not in {201, 202}:
        raise ConfigurationError(f"{where}: only 201 and 202 have a location")
    for name in route.parameters:
        if name not in message.__dataclass_fields__:
            raise ConfigurationError(f"{where}: {message.__name__} has no field {name!r}")
