"""Appeals against the suspension of one's account: once for each, and another administrator decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.users.errors import AlreadyAppealed, NothingToAppeal, OwnSuspension
from promptforge.actors.users.messages import ListAdministrators
from promptforge.actors.users.staff.history import AccountHistory
from promptforge.actors.users.staff.messages import (
    AccountEvent,
    AccountReason,
    AccountView,
    AppealMySuspension,
    GetMySuspension,
    MySuspensionView,
    SuspensionView,
    UpholdSuspension,
)
from promptforge.actors.users.staff.notices import appeal_notice, decision_notice
from promptforge.actors.users.staff.reasons import REASONS, own_next_step
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.appeals import expect_in_time
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.reasons import check_reason
from promptforge.core.runtime import Actor, handles


class SuspensionsActor(Actor):
    name = "suspensions"
    asks = ("users", "billing")

    def __init__(self, store: AccountStore, history: AccountHistory) -> None:
        self._store = store
        self._history = history

    @handles(GetMySuspension)
    async def get_own(self, message: GetMySuspension, context: Context) -> MySuspensionView:
        account = await self._store.get(context.user_id, session=context.session)
        return _own_view(_suspension_of(account), now=context.now())

    @handles(AppealMySuspension, atomic=True)
    async def appeal(self, message: AppealMySuspension, context: Context) -> MySuspensionView:
        now = context.now()
        account = await self._store.get(context.user_id, session=context.session)
        before = _suspension_of(account)
        if before.upheld_at is not None:
            raise NothingToAppeal("It was appealed, and decided for good")
        if before.appealed_at is not None:
            raise AlreadyAppealed
        expect_in_time(before.appeal_until, now)
        after = replace(before, appeal=message.words, appealed_at=now)
        await self._store.note_appeal(account.id, after, now=now, session=context.session)
        why = (AccountReason.OTHER, message.words)
        await self._history.add(account.id, AccountEvent.APPEALED, why, by=account.id, at=now, session=context.session)
        await context.audit("user.appealed", account.id)
        for administrator in await context.ask(ListAdministrators()):
            await context.enqueue(appeal_notice(account.id, administrator, at=now), owner_id=administrator)
        return _own_view(after, now=now)

    @handles(UpholdSuspension, key="user_id", atomic=True)
    async def uphold(self, message: UpholdSuspension, context: Context) -> AccountView:
        now, why = context.now(), (message.reason_code, message.reason)
        check_reason(REASONS, message.reason_code, AccountEvent.UPHELD)
        await self._store.expect_administrator(context.user_id, now=now, session=context.session)
        account = await self._store.get(message.user_id, session=context.session)
        before = account.suspension
        if before is None or before.appealed_at is None or before.upheld_at is not None:
            raise NothingToAppeal("Nobody has appealed, or it was decided")
        await self._expect_another(before, account.id, context)
        after = await self._store.note_appeal(
            account.id, replace(before, appeal=None, upheld_at=now), now=now, session=context.session
        )
        by = context.user_id
        await self._history.add(account.id, AccountEvent.UPHELD, why, by=by, at=now, session=context.session)
        await context.audit("user.upheld", account.id, after={"reason_code": message.reason_code.value})
        await context.enqueue(decision_notice(after, AccountEvent.UPHELD, why, at=now), owner_id=account.id)
        return after

    async def _expect_another(self, suspension: SuspensionView, owner_id: str, tx: Context) -> None:
        """Who suspended, or an account linked to theirs, does not uphold it, where another administrator could.

        Raises `OwnSuspension`.
        """
        mine = await tx.ask(GetAccountGroup(user_id=tx.user_id))
        if suspension.by not in mine:
            return
        owners = await tx.ask(GetAccountGroup(user_id=owner_id))
        if set(await tx.ask(ListAdministrators())).difference(mine, owners):
            raise OwnSuspension


def _suspension_of(account: AccountView) -> SuspensionView:
    """Raises `NotFound` where there is none."""
    if account.suspension is not None:
        return account.suspension
    if account.suspended:  # by the service that this one replaces, which kept no reason
        return SuspensionView("It was decided before reasons were kept.", "", account.created_at)
    raise NotFound("Your account is not suspended")


def _own_view(suspension: SuspensionView, *, now: datetime) -> MySuspensionView:
    return MySuspensionView(
        reason_code=suspension.reason_code,
        words=REASONS[suspension.reason_code].words,
        note=suspension.reason,
        next_step=own_next_step(suspension, now=now),
        at=suspension.at,
        appeal_until=None if suspension.appealed_at is not None else suspension.appeal_until,
        appealed_at=suspension.appealed_at,
        final=suspension.upheld_at is not None,
    )
