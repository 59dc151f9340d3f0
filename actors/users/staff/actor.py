"""Suspends and reinstates: the change, who made it and what its owner is told are one commit."""

from __future__ import annotations

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.users.errors import NotOneself
from promptforge.actors.users.staff.history import AccountHistory
from promptforge.actors.users.staff.messages import (
    AccountEvent,
    AccountEventView,
    AccountView,
    GetAccount,
    ListAccountEvents,
    ListAccounts,
    ReinstateAccount,
    SuspendAccount,
    SuspensionView,
)
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class PeopleActor(Actor):
    name = "people"

    def __init__(self, store: AccountStore, history: AccountHistory) -> None:
        self._store = store
        self._history = history

    @handles(ListAccounts)
    async def list_accounts(self, message: ListAccounts, context: Context) -> Page[AccountView]:
        return await self._store.list_page(message)

    @handles(GetAccount, transactional=True)
    async def get(self, message: GetAccount, context: Context) -> AccountView:
        return await self._store.get(message.user_id, session=context.session)

    @handles(ListAccountEvents)
    async def list_events(self, message: ListAccountEvents, context: Context) -> Page[AccountEventView]:
        await self._store.get(message.user_id)
        cursor = Cursor.decode_optional(message.cursor)
        return await self._history.list_page(message.user_id, cursor=cursor, limit=message.limit)

    @handles(SuspendAccount, key="user_id", atomic=True)
    async def suspend(self, message: SuspendAccount, context: Context) -> AccountView:
        if message.user_id == context.user_id:
            raise NotOneself("Nobody suspends their own account")
        await self._store.expect_administrator(context.user_id, now=context.now(), session=context.session)
        before = await self._store.get(message.user_id, session=context.session)
        suspension = SuspensionView(message.reason, context.user_id, context.now())
        after = await self._store.set_suspension(
            message.user_id, suspension, now=context.now(), session=context.session
        )
        await self._note(before, after, message.reason, context)
        title = "Your account is suspended"
        await _tell(after, context, kind="account.suspended", title=title, reason=message.reason)
        return after

    @handles(ReinstateAccount, key="user_id", atomic=True)
    async def reinstate(self, message: ReinstateAccount, context: Context) -> AccountView:
        await self._store.expect_administrator(context.user_id, now=context.now(), session=context.session)
        before = await self._store.get(message.user_id, session=context.session)
        if not before.suspended:
            return before
        after = await self._store.set_suspension(message.user_id, None, now=context.now(), session=context.session)
        await self._note(before, after, message.reason, context)
        title = "Your account is not suspended any more"
        await _tell(after, context, kind="account.reinstated", title=title, reason=message.reason)
        return after

    async def _note(self, before: AccountView, after: AccountView, reason: str, tx: Context) -> None:
        """The reason is in the history: the audit log, which is for good, holds no texts."""
        session = tx.session
        if before.suspension is not None:
            await self._history.take_up(after.id, before.suspension, session=session)
        event = AccountEvent.SUSPENDED if after.suspended else AccountEvent.REINSTATED
        at = tx.now() if after.suspension is None else after.suspension.at
        await self._history.add(after.id, event, reason=reason, by=tx.user_id, at=at, session=session)
        was, is_now = {"suspended": before.suspended}, {"suspended": after.suspended}
        await tx.audit(f"user.{event}", after.id, before=was, after=is_now)


async def _tell(account: AccountView, tx: Context, *, kind: str, title: str, reason: str) -> None:
    notice = NotifyUser(
        user_id=account.id,
        kind=kind,
        title=title,
        body=f"The reason: {reason}",
        subject={},
        dedupe_key=f"{kind}:{account.id}:{tx.now().isoformat()}",
    )
    await tx.enqueue(notice, owner_id=account.id)
