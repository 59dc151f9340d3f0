"""Sets roles: the change, who made it and why, what the person is told and what Firebase is told are one commit."""

from __future__ import annotations

from promptforge.actors.users.domain import stored_roles
from promptforge.actors.users.errors import NotOneself, RolesChanged
from promptforge.actors.users.roles.messages import (
    AssignRoles,
    GetRoles,
    ListRoleChanges,
    MirrorRoles,
    RoleChangeView,
    RoleReason,
    RolesView,
    SetRoles,
)
from promptforge.actors.users.roles.notices import roles_notice
from promptforge.actors.users.roles.store import RoleStore
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Page
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
        return await self._change(there, message, by=context.user_id, tx=context)

    @handles(AssignRoles, key="user_id", atomic=True)
    async def assign(self, message: AssignRoles, context: Context) -> RolesView:
        there = await self._store.get(message.user_id, session=context.session)
        return await self._change(there, message, by=None, tx=context)

    async def _change(
        self, there: RolesView, message: SetRoles | AssignRoles, *, by: str | None, tx: Context
    ) -> RolesView:
        """What was decided already is not decided again."""
        after = stored_roles(message.roles)
        if there.decided is not None and after == there.roles:
            return there
        why = message.reason, tx.now(), message.reason_code
        change = RoleChangeView(new_id("rch"), there.user_id, there.roles, after, by, *why)
        await self._store.put(change, session=tx.session)
        was, is_now = ({"roles": [role.value for role in held]} for held in (there.roles, after))
        await tx.audit(
            "user.roles_changed",
            there.user_id,
            before=was,
            after={**is_now, "reason_code": message.reason_code.value},
        )
        await tx.enqueue(MirrorRoles(user_id=there.user_id))
        if after != there.roles:
            await tx.enqueue(roles_notice(change), owner_id=change.user_id)
        return RolesView(there.user_id, after, change)


def _is_answered(there: RolesView, message: SetRoles, by: str) -> bool:
    """Whether this very request was carried out already, and its answer was lost."""
    last = there.decided
    told = by, message.reason, message.reason_code
    same = last is not None and (last.by, last.reason, last.reason_code or RoleReason.OTHER) == told
    return same and there.roles == stored_roles(message.roles)
