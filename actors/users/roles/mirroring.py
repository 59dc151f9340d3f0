"""Tells Firebase who has which roles: an actor of its own, so that waiting for Google keeps nobody from deciding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from promptforge.actors.users.roles.messages import MirrorRoles
from promptforge.actors.users.roles.store import RoleStore
from promptforge.core.context import Context
from promptforge.core.errors import Unavailable
from promptforge.core.jobs import Discard
from promptforge.core.runtime import Actor, handles

MOST_LOOKS = 5

Mirror = Callable[[str, Sequence[str]], Awaitable[None]]
"""Tells who keeps the sign-ins which roles a uid has; telling it twice is telling it once."""


class RoleMirrorActor(Actor):
    name = "role_mirror"

    def __init__(self, store: RoleStore, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror

    @handles(MirrorRoles, key="user_id")
    async def mirror(self, message: MirrorRoles, context: Context) -> None:
        """Of two at once the later one to write has looked before or after the other's change; so it looks again."""
        told = await self._store.find_mirrored(message.user_id)
        for _ in range(MOST_LOOKS):
            if told is None:
                raise Discard("Nobody has decided about these roles, or the account is closed")
            await self._mirror(told.uid, told.roles)
            now = await self._store.find_mirrored(message.user_id)
            if now == told:
                return
            told = now
        raise Unavailable("The roles change faster than they can be told")
