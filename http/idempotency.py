"""The Idempotency-Key: a POST that is sent again gets the reply it got, and has its effect once.

The first request with a key claims it; the reply is stored in the transaction of the effect, so there is never one
without the other; a request that finds a reply gets that, having cost one read. A claim that nobody released (the
process died) is taken over after a minute: then the first one, should it still live, can no longer commit.

Keys belong to who sent them, and to method and path, however that is percent-encoded; a reply is kept for a day.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pydantic_core

from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, Conflict, Malformed
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.personal import Held, Subject
from promptforge.core.principal import Principal
from promptforge.http.conditions import Precondition
from promptforge.http.errors import KeyReused, StillRunning
from promptforge.http.exchange import Exchange
from promptforge.http.replies import Rendered

REPLIES = "idempotency_keys"
INDEXES: dict[str, tuple[Index, ...]] = {REPLIES: (Index((("expires_at", 1),), ttl_seconds=0),)}
HELD = {
    REPLIES: Held(
        "Replies to requests that may be sent again, for a day",
        (Subject("owner_id", deleted=True, exported=False),),
        plain=frozenset({"*"}),
    ),
}
KEPT = timedelta(hours=24)
CLAIM = timedelta(seconds=60)
"""Twice the time that a command gets; only a process that died leaves a claim behind."""
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
REPLAYED = (b"idempotency-replayed", b"true")

Render = Callable[[object], Rendered]


class ClaimTaken(Conflict):
    code = "claim_taken"
    title = "The same request was sent again meanwhile, and that one has been carried out"
    retryable = True


class Replies:
    """Every query on the stored replies."""

    def __init__(self, mongo: Mongo, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._replies = mongo.collection(REPLIES)
        self._now = now

    async def claim(
        self, identifier: str, fingerprint: bytes, *, owner_id: str | None = None, lasting: timedelta = CLAIM
    ) -> tuple[str, Rendered | None]:
        """A claim on the key, or the reply that is stored. Raises `KeyReused` or `StillRunning`."""
        claim = secrets.token_hex(8)
        until = self._now() + lasting
        for _ in range(3):  # it may be released, or removed by MongoDB, between a look and a write
            now = self._now()
            found = await self._replies.find_one({"_id": identifier})
            if found is None:
                if await self._insert(identifier, {"owner_id": owner_id, **self._claimed(fingerprint, claim, until)}):
                    return claim, None
                continue
            if found["expires_at"] > now:
                if found["fingerprint"] != fingerprint:
                    raise KeyReused
                if "status" in found:
                    return claim, _rendered(found)
                if found["claimed_until"] > now:
                    seconds = (found["claimed_until"] - now).total_seconds()
                    raise StillRunning(retry_after_seconds=min(seconds, 1.0))
            if await self._take_over(found, fingerprint, claim, until):
                return claim, None
        raise StillRunning(retry_after_seconds=1.0)

    async def _insert(self, identifier: str, claimed: Document) -> bool:
        try:
            await self._replies.insert_one({"_id": identifier, **claimed})
        except DuplicateKey:
            return False
        return True

    async def _take_over(self, found: Document, fingerprint: bytes, claim: str, until: datetime) -> bool:
        fresh = {"$set": self._claimed(fingerprint, claim, until), "$unset": {"status": "", "headers": "", "body": ""}}
        wanted = {"_id": found["_id"], "claim": found["claim"], "expires_at": found["expires_at"]}
        return (await self._replies.update_one(wanted, fresh)).matched_count == 1

    def _claimed(self, fingerprint: bytes, claim: str, until: datetime) -> dict[str, Any]:  # Any: a document
        expires_at = self._now() + KEPT
        return {"fingerprint": fingerprint, "claim": claim, "claimed_until": until, "expires_at": expires_at}

    async def store(self, identifier: str, claim: str, reply: Rendered, session: Session | None) -> None:
        """Raises `ClaimTaken` where another request has the key by now."""
        stored = {
            "status": reply.status,
            "headers": [[name, value] for name, value in reply.headers],
            "body": reply.body,
            "expires_at": self._now() + KEPT,
        }
        wanted = {"_id": identifier, "claim": claim}
        if not (await self._replies.update_one(wanted, {"$set": stored}, session=session)).matched_count:
            raise ClaimTaken

    async def release(self, identifier: str, claim: str) -> None:
        """Let the key be used again: nothing has happened."""
        await self._replies.delete_one({"_id": identifier, "claim": claim, "status": {"$exists": False}})


def _rendered(found: Document) -> Rendered:
    headers = [(bytes(name), bytes(value)) for name, value in found["headers"]]
    return Rendered(found["status"], [*headers, REPLAYED], bytes(found["body"]))


class Asked:
    """What one request asks of its command: `RequestHandle`."""

    __slots__ = ("_claim", "_precondition", "_render", "_replies", "begun", "effect_id")

    def __init__(
        self,
        render: Render,
        *,
        precondition: Precondition | None = None,
        replies: Replies | None = None,
        effect_id: str | None = None,
        claim: str = "",
    ) -> None:
        self._render = render
        self._precondition = precondition
        self._replies = replies
        self._claim = claim
        self.effect_id = effect_id
        self.begun = False

    def begin(self) -> None:
        self.begun = True

    async def check(self, tx: Context) -> None:
        if self._precondition is not None:
            await self._precondition.check(tx)

    async def complete(self, session: Session | None, result: object) -> None:
        if self._replies is not None and self.effect_id is not None:
            reply = self._render(without_secrets(result))
            await self._replies.store(self.effect_id, self._claim, reply, session)

    async def abandon(self) -> None:
        """Where MongoDB is away the claim ends by itself, in a minute."""
        if self._replies is not None and self.effect_id is not None:
            with suppress(*DATABASE_AWAY):
                await self._replies.release(self.effect_id, self._claim)


def without_secrets(reply: object) -> object:
    """What may be stored of a reply: one that holds a secret says itself what is left without it."""
    leave_out = getattr(reply, "without_secrets", None)
    return reply if leave_out is None else leave_out()


def key_of(exchange: Exchange, principal: Principal | None, path: Mapping[str, str]) -> str | None:
    """The id under which this request's reply is stored; `path` are the decoded parameters. Raises `Malformed`."""
    key = exchange.headers.get(b"idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise Malformed("Idempotency-Key is 1 to 255 printable ASCII characters without spaces")
    if principal is None:
        raise Malformed("Idempotency-Key is for signed-in callers: nobody else's replies can be told apart")
    whose = [principal.user_id, principal.key_id or "", exchange.method, exchange.route, *path.values()]
    return hashlib.sha256(orjson.dumps(whose) + key).hexdigest()


def fingerprint_of(exchange: Exchange, body: bytes) -> bytes:
    """Names what is asked: the query, and the body whatever the order of its keys."""
    canonical = orjson.dumps(pydantic_core.from_json(body), option=orjson.OPT_SORT_KEYS) if body.strip() else b""
    return hashlib.sha256(exchange.query + b"\0" + canonical).digest()
