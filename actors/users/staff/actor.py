"""Suspends and reinstates: the change, who made it and what its owner is told are one commit."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.users.errors import AppealWaits, NotOneself
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
from promptforge.actors.users.staff.notices import Why, decision_notice
from promptforge.actors.users.staff.reasons import REASONS
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.reasons import check_reason
from promptforge.core.runtime import Actor, handles


class PeopleActor(Actor):
    """`appeal_for`: how long a suspension can be appealed."""

    name = "people"

    def __init__(self, store: AccountStore, history: AccountHistory, *, appeal_for: timedelta) -> None:
        self._appeal_for = appeal_for
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
        check_reason(REASONS, message.reason_code, AccountEvent.SUSPENDED)
        now = context.now()
        await self._store.expect_administrator(context.user_id, now=now, session=context.session)
        before = await self._store.get(message.user_id, session=context.session)
        if before.suspension is not None and before.suspension.appeal is not None:
            raise AppealWaits
        if _is_answered(before, message, context.user_id):
            return before
        suspension = SuspensionView(
            message.reason, context.user_id, now, message.reason_code, appeal_until=now + self._appeal_for
        )
        after = await self._store.set_suspension(message.user_id, suspension, now=now, session=context.session)
        await self._decided(before, after, (message.reason_code, message.reason), context)
        return after

    @handles(ReinstateAccount, key="user_id", atomic=True)
    async def reinstate(self, message: ReinstateAccount, context: Context) -> AccountView:
        check_reason(REASONS, message.reason_code, AccountEvent.REINSTATED)
        await self._store.expect_administrator(context.user_id, now=context.now(), session=context.session)
        before = await self._store.get(message.user_id, session=context.session)
        if not before.suspended:
            return before
        after = await self._store.set_suspension(message.user_id, None, now=context.now(), session=context.session)
        await self._decided(before, after, (message.reason_code, message.reason), context)
        return after

    async def _decided(self, before: AccountView, after: AccountView, why: Why, tx: Context) -> None:
        """The words are in the history: the audit log, which is for good, holds no texts."""
        session = tx.session
        if before.suspension is not None:
            await self._history.take_up(after.id, before.suspension, session=session)
        event = AccountEvent.SUSPENDED if after.suspended else AccountEvent.REINSTATED
        at = tx.now() if after.suspension is None else after.suspension.at  # by which `take_up` knows it again
        await self._history.add(after.id, event, why, by=tx.user_id, at=at, session=session)
        was, is_now = {"suspended": before.suspended}, {"suspended": after.suspended, "reason_code": why[0].value}
        await tx.audit(f"user.{event}", after.id, before=was, after=is_now)
        await tx.enqueue(decision_notice(after, event, why, at=tx.now()), owner_id=after.id)


def _is_answered(before: AccountView, message: SuspendAccount, by: str) -> bool:
    """Whether this very request was carried out already, and its answer was lost. After an appeal it is another one."""
    there = before.suspension
    if there is None or there.appealed_at is not None:
        return False
    return (there.by, there.reason, there.reason_code) == (by, message.reason, message.reason_code)
