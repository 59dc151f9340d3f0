"""Identity without Firebase: a clock that is set by hand, accounts that are revoked, and an outage at will."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from promptforge.core.identity import Claims, IdentityUnavailable, Principals
from promptforge.core.identity.tokens import RevokedToken
from promptforge.core.principal import Principal, Role


class World:
    """A clock, a verifier that counts, and users that change. A token is its user's uid; `short` expires at 1030."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.verified: list[str] = []
        self.asked: list[str] = []
        self.revoked: set[str] = set()
        self.reachable = True
        self.hearing = True
        self.suspended = False
        self.during_provision: Callable[[], object] = lambda: None
        self.during_check: Callable[[], object] = lambda: None

    async def verify(self, token: str) -> Claims:
        self.verified.append(token)
        await anyio.sleep(0.01)
        return Claims(token, None, None, frozenset({Role.USER}), 900.0, 1030.0 if token == "short" else 9e9)

    async def check_session(self, claims: Claims) -> None:
        self.asked.append(claims.uid)
        self.during_check()
        if not self.reachable:
            raise IdentityUnavailable
        if claims.uid in self.revoked:
            raise RevokedToken

    async def provision(self, claims: Claims) -> Principal:
        principal = Principal(f"usr_{claims.uid}", claims.uid, claims.roles, suspended=self.suspended)
        self.during_provision()
        return principal

    def principals(self) -> Principals:
        return Principals(self, self.provision, fresh_enough=lambda: self.hearing, now=lambda: self.now)
