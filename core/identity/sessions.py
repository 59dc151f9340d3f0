"""Whether the session behind a token goes on. Firebase is asked about a token once a minute, and whenever money moves.

While Firebase cannot be asked, tokens that are good by themselves count as they did before: an outage of Google signs
nobody out and lets nobody back in. Nothing that asks for a fresh look passes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from cachetools import LRUCache, TLRUCache

from promptforge.core.identity.tokens import Claims, IdentityUnavailable, RevokedToken, TokenVerifier

log = structlog.get_logger(__name__)

MAX_AGE_SECONDS = 60.0
UNASKED_SECONDS = 30.0
"""A judgement without Firebase is good for less, so that revocation is back within a minute after an outage."""
PAUSE_SECONDS = 10.0
"""So long after a failure, only those who need a fresh look try again."""
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """A judgement. From `until` on (seconds since the epoch), it has to be made again."""

    claims: Claims
    revoked: bool
    until: float


@dataclass(frozen=True, slots=True)
class Account:
    """A judgement on an account itself; `claims` is None where nobody could say anything."""

    claims: Claims | None
    revoked: bool
    until: float


class Sessions:
    """Judges tokens by `verifier` and remembers; tokens are known by their digests only."""

    def __init__(self, verifier: TokenVerifier, *, now: Callable[[], float]) -> None:
        self._verifier = verifier
        self._now = now
        self._known: TLRUCache[bytes, Session] = TLRUCache(
            MAX_ENTRIES, ttu=lambda _digest, session, _now: session.claims.expires_at, timer=now
        )
        self._accounts: LRUCache[str, Account] = LRUCache(MAX_ENTRIES)
        self._pause_until = float("-inf")

    async def judge(self, token: str, digest: bytes, *, fresh: bool) -> Session:
        """A session that goes on; `fresh` takes no earlier word for that. Raises the errors of `TokenVerifier`.

        That it was revoked is believed for a minute even so: a refused token cannot make us ask without end.
        """
        known = self._known.get(digest)
        if known is None or self._now() >= known.until or (fresh and not known.revoked):
            self._known[digest] = known = await self._ask(token, known, fresh=fresh)
        if known.revoked:
            raise RevokedToken
        return known

    async def _ask(self, token: str, known: Session | None, *, fresh: bool) -> Session:
        asked_at = self._now()  # what Firebase answers may be as old as the question
        claims = await self._verifier.verify(token)
        if fresh or asked_at >= self._pause_until:
            try:
                claims = await self._verifier.check_session(claims)
            except RevokedToken:
                return Session(claims, revoked=True, until=asked_at + MAX_AGE_SECONDS)
            except IdentityUnavailable as error:
                self._pause(error)
                if fresh:
                    raise
            else:
                return Session(claims, revoked=False, until=asked_at + MAX_AGE_SECONDS)
        return Session(claims, revoked=known is not None and known.revoked, until=asked_at + UNASKED_SECONDS)

    def knows(self, digest: bytes) -> bool:
        """Whether this token was good before: it is no guess."""
        return digest in self._known

    async def account(self, uid: str, *, fresh: bool) -> Account:
        """The account behind API keys, asked about as sessions are. Raises `RevokedToken` or `IdentityUnavailable`."""
        known = self._accounts.get(uid)
        if known is None or self._now() >= known.until or (fresh and not known.revoked):
            self._accounts[uid] = known = await self._ask_account(uid, known, fresh=fresh)
        if known.revoked:
            raise RevokedToken("The account of this API key is disabled, or gone")
        return known

    async def _ask_account(self, uid: str, known: Account | None, *, fresh: bool) -> Account:
        asked_at = self._now()
        if fresh or asked_at >= self._pause_until:
            try:
                return Account(await self._verifier.find_account(uid), revoked=False, until=asked_at + MAX_AGE_SECONDS)
            except RevokedToken:
                return Account(None, revoked=True, until=asked_at + MAX_AGE_SECONDS)
            except IdentityUnavailable as error:
                self._pause(error)
                if fresh:
                    raise
        return Account(None, revoked=known is not None and known.revoked, until=asked_at + UNASKED_SECONDS)

    def _pause(self, error: IdentityUnavailable) -> None:
        now = self._now()
        if now >= self._pause_until:
            log.warning("identity.sessions_unchecked", cause=repr(error.__cause__))
        self._pause_until = now + PAUSE_SECONDS
