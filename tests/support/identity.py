"""Identity without Firebase: a clock that is set by hand, accounts that are revoked, and an outage at will."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from promptforge.core.identity import Asker, Claims, IdentityUnavailable, Principals
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
        self.roles = frozenset({Role.USER})
        """What the account says, whatever its tokens say."""
        self.askers: list[Asker] = []
        self.during_provision: Callable[[], object] = lambda: None
        self.during_check: Callable[[], object] = lambda: None

    async def verify(self, token: str) -> Claims:
        self.verified.append(token)
        await anyio.sleep(0.01)
        return Claims(token, None, None, frozenset({Role.USER}), 900.0, 1030.0 if token == "short" else 9e9, 900.0)

    async def check_session(self, claims: Claims) -> Claims:
        self.asked.append(claims.uid)
        self.during_check()
        if not self.reachable:
            raise IdentityUnavailable
        if claims.uid in self.revoked:
            raise RevokedToken
        return replace(claims, roles=self.roles, as_of=self.now)

    async def find_account(self, uid: str) -> Claims | None:
        return await self.check_session(Claims(uid, None, None, frozenset({Role.USER}), self.now, 9e9, self.now))

    async def disable_account(self, uid: str) -> None:
        """Nothing that these tests ask for."""

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        """Nothing that these tests ask for."""

    async def find_key(self, key: str, asker: Asker) -> tuple[Principal, float] | None:
        """The key `pfk_a` is a's, with one scope."""
        uid = key.removeprefix("pfk_")
        return Principal(f"usr_{uid}", uid, scopes=frozenset({"prompts:read"}), key_id=f"key_{uid}"), 9e9

    async def provision(self, claims: Claims, asker: Asker) -> Principal:
        self.askers.append(asker)
        principal = Principal(f"usr_{claims.uid}", claims.uid, claims.roles, suspended=self.suspended)
        self.during_provision()
        return principal

    def principals(self) -> Principals:
        return Principals(
            self,
            self.provision,
            find_key=self.find_key,
            fresh_enough=lambda: self.hearing,
            now=lambda: self.now,
        )
