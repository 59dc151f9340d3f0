"""What serves one route of a table: who asks, may they, with what, and the reply as JSON. Plain ASGI."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

from starlette.types import Receive, Scope, Send

from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError, PromptForgeError, Unavailable
from promptforge.core.messages import Access, Command, Message, Query, Requirement, reply_type
from promptforge.core.runtime import System
from promptforge.core.runtime.permissions import authorise
from promptforge.http.auth import Authenticator
from promptforge.http.binding import binder_of
from promptforge.http.body import BodyLimits, read_body, require_json
from promptforge.http.conditions import Precondition
from promptforge.http.cursors import CursorKeys, Cursors
from promptforge.http.disconnects import Disconnects, Watch
from promptforge.http.errors import ClientGone, PreconditionFailed
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.idempotency import CLAIM, Asked, Replies, fingerprint_of, key_of
from promptforge.http.rates import Rates
from promptforge.http.replies import Readable, Rendered, Renderer
from promptforge.http.routing import EDIT_METHODS, Route

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """What all endpoints share."""

    system: System
    authenticator: Authenticator
    limits: BodyLimits
    disconnects: Disconnects
    rates: Rates
    cursors: CursorKeys = dataclasses.field(default_factory=CursorKeys)
    replies: Replies | None = None


Admitted = tuple[Exchange, dict[str, str], Context, Message[Any], Asked | Rendered | None]
"""The exchange, the path's parameters, the context, the message, and what is asked beside the reply (or that reply)."""


class Endpoint:
    """Made once per route. `readable` are the GET routes: a Location may point to them, and edits may depend on them.

    Raises `ConfigurationError` for an edit that could not be made conditional on what its path's GET answers.
    """

    def __init__(self, route: Route, edge: Edge, readable: Readable) -> None:
        self.route = route
        self.binder = binder_of(route)
        self._edge = edge
        self._requirement = route.message.requirement or Requirement(Access.INTERNAL)
        self._cursors = Cursors(edge.cursors, route.shape, route.message)
        self._keyed = route.method == "POST" and issubclass(route.message, Command)
        current = readable.get(route.shape) if route.method in EDIT_METHODS else None
        if current is not None:
            _check_guard(route, current, edge.system)
        self._current = (current, binder_of(current)) if current is not None else None
        self._renderer = Renderer(route, readable, tagged=_is_tagged(route, current))

    claim_lasts: ClassVar[timedelta] = CLAIM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, path, context, message, asked = await self._admit(scope, receive)
        if isinstance(asked, Rendered):
            await asked(scope, receive, send)
            return
        context.request_handle = asked
        reply = await self._wait(context.ask(message), asked, self._edge.disconnects.watch(exchange, receive))
        reply = self._cursors.sealed(message, reply)
        await self._renderer.render(exchange, path, reply)(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Admitted:
        """Who asks for what, checked and read as far as it can be before anything is done."""
        exchange = exchange_of(scope)
        edge = self._edge
        principal = await edge.authenticator.authenticate(exchange, fresh=self._requirement.fresh)
        if edge.rates.shares(self.route.rate):
            await edge.rates.count_shared(exchange, self.route.rate)
        else:
            edge.rates.count(exchange, self.route.rate)
        context = edge.system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, principal=principal)
        # The runtime authorises every message; here it spares the unauthorised the reading of a body, and us too.
        authorise(self.route.message, self._requirement, context)
        path: dict[str, str] = scope["path_params"]
        body = await self._read(exchange, receive) if self.route.takes_body else b""
        message = self._cursors.opened(self._bind(path, exchange.query, body))
        if self.route.repeats and (known := edge.system.at_hand(message, context)) is not None:
            rendered = self._renderer.render_again(exchange, path, known, partial(self._cursors.sealed, message))
            return exchange, path, context, message, rendered
        return exchange, path, context, message, await self._asked(exchange, path, body)

    async def _wait(self, call: Awaitable[T], asked: Asked | None, watch: Watch) -> T:
        """Wait for `call` for as long as the client does."""
        try:
            reply = await call
        except asyncio.CancelledError:
            if watch.gone and watch.task is not None:
                watch.task.uncancel()
                await give_up(asked)
                raise ClientGone from None
            raise
        except PromptForgeError:
            await give_up(asked)
            raise
        finally:
            self._edge.disconnects.leave(watch)
        return reply

    async def _read(self, exchange: Exchange, receive: Receive) -> bytes:
        if exchange.body_pending:
            require_json(exchange.headers)
        return await read_body(exchange, receive, self._edge.limits)

    def _bind(self, path: Mapping[str, str], query: bytes, body: bytes) -> Message[Any]:
        return self.binder.bind(path, query, body)

    async def _asked(self, exchange: Exchange, path: Mapping[str, str], body: bytes) -> Asked | Rendered | None:
        """What the request asks beside its reply; or that reply, where it is stored. None in the usual case."""

        def render(reply: object) -> Rendered:
            return self._renderer.render(exchange, path, reply)

        wanted = exchange.headers.get(b"if-match") if self.route.method != "GET" else None
        if wanted is not None and self._current is None:
            # A POST too: what it would change has no ETag at its path, so nothing can be found to be as its client
            # wants it, and then the method must not be performed (RFC 9110, 13.1.1).
            raise PreconditionFailed("Nothing that could be changed at this path has an ETag: leave If-Match out")
        if self._keyed and (identifier := key_of(exchange, exchange.principal, path)) is not None:
            replies = self._edge.replies
            if replies is None:
                raise Unavailable("Replies cannot be kept here: send the request without Idempotency-Key")
            owner_id = None if exchange.principal is None else exchange.principal.user_id
            fingerprint = fingerprint_of(exchange, body)
            claim, stored = await replies.claim(identifier, fingerprint, owner_id=owner_id, lasting=self.claim_lasts)
            return stored or Asked(render, replies=replies, effect_id=identifier, claim=claim)
        if wanted is not None and self._current is not None:
            current, binder = self._current
            query = binder.bind(dict(zip(current.parameters, path.values(), strict=True)), b"", b"")
            return Asked(render, precondition=Precondition(wanted, query))
        return None


async def give_up(asked: Asked | None) -> None:
    """What was never begun will not be: the key is free again."""
    if asked is not None and not asked.begun:
        await asked.abandon()


def _is_tagged(route: Route, current: Route | None) -> bool:
    """Whether the reply is what a GET of this path answers."""
    if route.method == "GET":
        return issubclass(route.message, Query)
    return current is not None and reply_type(route.message) == reply_type(current.message)


def _check_guard(route: Route, current: Route, system: System) -> None:
    for message in (route.message, current.message):
        binding = system.bindings.get(message)
        if binding is not None and not binding.declared.transactional:
            raise ConfigurationError(
                f"{route.method} {route.path}: If-Match needs a transactional handler of {message.__name__}"
            )
