"""Sets roles: the change, who made it and why, what the person is told and what Firebase is told are one commit."""

from __future__ import annotations

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.users.domain import stored_roles
from promptforge.actors.users.errors import NotOneself, RolesChanged
from promptforge.actors.users.roles.messages import (
    AssignRoles,
    GetRoles,
    ListRoleChanges,
    MirrorRoles,
    RoleChangeView,
    Roles,
    RolesView,
    SetRoles,
)
from promptforge.actors.users.roles.store import RoleStore
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Page
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles


class RolesActor(Actor):
    name = "roles"

    def __init__(self, store: RoleStore, accounts: AccountStore) -> None:
        self._store = store
        self._accounts = accounts

    @handles(GetRoles, transactional=True)
    async def get(self, message: GetRoles, context: Context) -> RolesView:
        return await self._store.get(message.user_id, session=context.session)

    @handles(ListRoleChanges)
    async def list_changes(self, message: ListRoleChanges, context: Context) -> Page[RoleChangeView]:
        return await self._store.list_page(message)

    @handles(SetRoles, key="user_id", atomic=True)
    async def set(self, message: SetRoles, context: Context) -> RolesView:
        """Whoever decides is an administrator when that commits, and stays one: so there is always one left."""
        if message.user_id == context.user_id:
            raise NotOneself("Nobody changes their own roles: ask another administrator")
        await self._accounts.expect_administrator(context.user_id, now=context.now(), session=context.session)
        there = await self._store.get(message.user_id, session=context.session)
        if _is_answered(there, message, context.user_id):
            return there
        if stored_roles(message.expected) != there.roles:
            raise RolesChanged(extra={"roles": [role.value for role in there.roles]})
        return await self._change(there, message.roles, reason=message.reason, by=context.user_id, tx=context)

    @handles(AssignRoles, key="user_id", atomic=True)
    async def assign(self, message: AssignRoles, context: Context) -> RolesView:
        there = await self._store.get(message.user_id, session=context.session)
        return await self._change(there, message.roles, reason=message.reason, by=None, tx=context)

    async def _change(self, there: RolesView, roles: Roles, *, reason: str, by: str | None, tx: Context) -> RolesView:
        """What was decided already is not decided again."""
        after = stored_roles(roles)
        if there.decided is not None and after == there.roles:
            return there
        change = RoleChangeView(new_id("rch"), there.user_id, there.roles, after, by, reason, tx.now())
        await self._store.put(change, session=tx.session)
        was, is_now = ({"roles": [role.value for role in held]} for held in (there.roles, after))
        await tx.audit("user.roles_changed", there.user_id, before=was, after=is_now)
        await tx.enqueue(MirrorRoles(user_id=there.user_id))
        if after != there.roles:
            await _tell(change, tx)
        return RolesView(there.user_id, after, change)


def _is_answered(there: RolesView, message: SetRoles, by: str) -> bool:
    """Whether this very request was carried out already, and its answer was lost."""
    last = there.decided
    same = last is not None and (last.by, last.reason) == (by, message.reason)
    return same and there.roles == stored_roles(message.roles)


async def _tell(change: RoleChangeView, tx: Context) -> None:
    notice = NotifyUser(
        user_id=change.user_id,
        kind="account.roles_changed",
        title="Your roles have changed",
        body=f"You have now: {_in_words(change.after)}. The reason: {change.reason}",
        subject={},
        dedupe_key=f"account.roles_changed:{change.id}",
    )
    await tx.enqueue(notice, owner_id=change.user_id)


def _in_words(roles: tuple[Role, ...]) -> str:
    return ", ".join(role.value for role in roles if role is not Role.USER) or "no role beside a user's"
