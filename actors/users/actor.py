"""Signs people in and keeps their profiles."""

from __future__ import annotations

from typing import Any

from promptforge.actors.users.domain import (
    User,
    changes_of,
    first_display_name,
    normal_handle,
    public_view,
    stored_roles,
)
from promptforge.actors.users.messages import (
    EnsureUser,
    GetIdentity,
    GetMe,
    GetPublicProfile,
    Identity,
    MeView,
    PublicProfileView,
    UpdateProfile,
)
from promptforge.actors.users.store import UserStore
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles


class UsersActor(Actor):
    name = "users"

    def __init__(self, store: UserStore) -> None:
        self._store = store

    @handles(EnsureUser, key="uid")
    async def ensure(self, message: EnsureUser, context: Context) -> Identity:
        """The key makes one process's first requests wait for each other; between processes the unique uid decides."""
        user = await self._store.find_by_uid(message.uid)
        if user is None:
            user = await self._provision(message, context)
        said = {"email": message.email or user.email, "roles": [role.value for role in stored_roles(message.roles)]}
        if said != {"email": user.email, "roles": [role.value for role in user.roles]}:
            user = await self._bring_up_to(said, user, context)
        return user.identity()

    async def _bring_up_to(self, said: dict[str, Any], user: User, context: Context) -> User:
        roles = [role.value for role in user.roles]

        async def work(tx: Context) -> User:
            if said["roles"] != roles:
                await tx.audit("user.roles_changed", user.id, before={"roles": roles}, after={"roles": said["roles"]})
            return await self._store.update(user.id, said, now=tx.now(), session=tx.session)

        return await context.transaction(work)

    async def _provision(self, message: EnsureUser, context: Context) -> User:
        now = context.now()
        user = User(
            id=new_id("usr"),
            uid=message.uid,
            email=message.email,
            handle=None,
            display_name=first_display_name(message.name),
            bio=None,
            avatar_url=None,
            links=(),
            roles=stored_roles(message.roles),
            suspended=False,
            created_at=now,
            updated_at=now,
        )
        if await self._store.insert(user):
            return user
        faster = await self._store.find_by_uid(message.uid)
        if faster is None:
            raise NotFound("The account was removed while it signed in")
        return faster

    @handles(GetIdentity)
    async def get_identity(self, message: GetIdentity, context: Context) -> Identity | None:
        user = await self._store.find(message.user_id)
        return None if user is None else user.identity()

    @handles(GetMe, transactional=True)
    async def get_me(self, message: GetMe, context: Context) -> MeView:
        return (await self._store.get(context.user_id, session=context.session)).me()

    @handles(UpdateProfile, transactional=True)
    async def update_profile(self, message: UpdateProfile, context: Context) -> MeView:
        changes = changes_of(message)
        if not changes:
            return (await self._store.get(context.user_id, session=context.session)).me()
        user = await self._store.update(context.user_id, changes, now=context.now(), session=context.session)
        return user.me()

    @handles(GetPublicProfile)
    async def get_public_profile(self, message: GetPublicProfile, context: Context) -> PublicProfileView:
        handle = normal_handle(message.handle)
        user = await self._store.find_by_handle(handle)
        if user is None or user.suspended:
            raise NotFound("Nobody has this handle")
        return public_view(user, handle)
