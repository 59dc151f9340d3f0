"""From bearer token to principal, with a cache that forgets in time.

An entry lives as long as its session need not be judged again (at most 60 s) and never past its token's expiry; it is
evicted when its user changes, and none is served while the change stream is silent, because then nobody would hear of a
change. Tokens are kept as hashes only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import anyio
from cachetools import LRUCache

from promptforge.core.credentials import API_KEY, APP_TOKEN
from promptforge.core.identity.sessions import MAX_AGE_SECONDS, Sessions
from promptforge.core.identity.tokens import Claims, InvalidToken, RevokedToken, TokenVerifier
from promptforge.core.principal import STAFF, Principal

MAX_ENTRIES = 10_000
MAX_TOKENS_PER_USER = 100

_Entry = tuple[Principal, float]

PROGRAMS = (API_KEY, APP_TOKEN)
"""How API keys and the tokens of apps begin; no signed token does."""


class Asker(NamedTuple):
    """The ids of the request that signs in, for logs and the audit log."""

    request_id: str = "sign-in"
    trace_id: str = ""


NOBODY = Asker()
Provision = Callable[[Claims, Asker], Awaitable[Principal]]
FindKey = Callable[[str, Asker], Awaitable[tuple[Principal, float] | None]]
"""Answers whose API key or app's token it is and until when it is good; None where it is none."""


class Principals:
    """`provision` finds or makes the user behind claims, `find_key` the one behind an API key; `fresh_enough` says
    whether changes are being heard, `reachable` raises where users cannot be looked up soon.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        provision: Provision,
        *,
        find_key: FindKey | None = None,
        fresh_enough: Callable[[], bool] = lambda: True,
        reachable: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = Sessions(verifier, now=now)
        self._provision = provision
        self._find_key = find_key
        self._fresh_enough = fresh_enough
        self._reachable = reachable
        self._now = now
        self._entries: LRUCache[bytes, _Entry] = LRUCache(MAX_ENTRIES)
        """Principals, and until when each is good; asked for at every request, which a cache with timers makes dear."""
        self._by_owner: dict[str, set[bytes]] = {}
        self._resolving: dict[bytes, anyio.Event] = {}
        self._evictions = 0

    def cached(self, token: str) -> Principal | None:
        """The principal if it is known and may still be used; costs a hash and a look-up."""
        if not self._fresh_enough():
            return None
        return self._good(_digest(token))

    def _good(self, digest: bytes) -> Principal | None:
        entry = self._entries.get(digest)
        return entry[0] if entry is not None and entry[1] > self._now() else None

    def knows(self, token: str) -> bool:
        """Whether this token was good before, though it may have to be judged again: it is no guess."""
        digest = _digest(token)
        return digest in self._entries or self._sessions.knows(digest)

    async def resolve(self, token: str, *, fresh: bool = False, asker: Asker = NOBODY) -> Principal:
        """Verify the token and find its user. `fresh` asks about revocation now and never answers from the cache.

        Callers with one token share one verification. Raises the errors of `TokenVerifier`.
        """
        digest = _digest(token)
        while not fresh and (running := self._resolving.get(digest)) is not None:
            await running.wait()
            if (known := self._good(digest)) is not None:
                return known
        done = anyio.Event()
        if not fresh:
            self._resolving[digest] = done
        try:
            return await self._find(token, digest, fresh=fresh, asker=asker)
        finally:
            if not fresh:
                del self._resolving[digest]
            done.set()

    async def _find(self, token: str, digest: bytes, *, fresh: bool, asker: Asker) -> Principal:
        if self._reachable is not None:
            await self._reachable()
        try:
            if token.startswith(PROGRAMS):
                evictions, principal, until = await self._owner_of(token, fresh=fresh, asker=asker)
            else:
                session = await self._sessions.judge(token, digest, fresh=fresh)
                evictions = self._evictions
                principal = await self._provision(session.claims, asker)
                until = min(session.until, session.claims.expires_at)
        except (RevokedToken, InvalidToken):
            self._entries.pop(digest, None)
            raise
        if evictions == self._evictions:  # else what was read may be older than the change that evicted
            self._remember(digest, principal, until)
        return principal

    async def _owner_of(self, key: str, *, fresh: bool, asker: Asker) -> tuple[int, Principal, float]:
        """What `_find` needs. The account is judged too: its keys end with it, and have its present roles."""
        evictions, now = self._evictions, self._now()
        found = await self._find_key(key, asker) if self._find_key is not None else None
        if found is None:
            raise InvalidToken("The key or token is not one, has expired or was revoked")
        principal, expires_at = found
        account = await self._sessions.account(principal.uid, fresh=fresh)
        if account.claims is not None:
            owner = await self._provision(account.claims, asker)
            known = principal
            principal = replace(owner, scopes=known.scopes, key_id=known.key_id, key_generation=known.key_generation)
        if key.startswith(APP_TOKEN):  # a program of others' has no rights over what is others'
            principal = replace(principal, roles=principal.roles - STAFF)
        return evictions, principal, min(now + MAX_AGE_SECONDS, account.until, expires_at)

    async def check_account(self, uid: str) -> None:
        """Raises `RevokedToken` where the account was disabled or deleted."""
        await self._sessions.account(uid, fresh=False)

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        if len(self._by_owner) >= MAX_ENTRIES:  # entries that ran out leave their hashes here: start over, rarely
            self.clear()
        self._entries[digest] = (principal, until)
        for owner in (principal.user_id, principal.key_id):
            if owner is not None:
                mine = self._by_owner.setdefault(owner, set())
                if len(mine) >= MAX_TOKENS_PER_USER:
                    mine.difference_update([known for known in mine if self._good(known) is None])
                mine.add(digest)

    def evict(self, owner_id: str) -> None:
        """Forget every token of a user, or the API key, that has changed."""
        self._evictions += 1
        for digest in self._by_owner.pop(owner_id, ()):
            self._entries.pop(digest, None)

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""
        self._evictions += 1
        self._entries.clear()
        self._by_owner.clear()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
