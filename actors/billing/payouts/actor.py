"""Payouts as people ask for them: requested, read, cancelled, held and released."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.errors import (
    InsufficientCredits,
    LinkedSales,
    NotOnboarded,
    PayoutNotOpen,
    PayoutUnderWay,
)
from promptforge.actors.billing.ledger.messages import CancelPayout, ReservePayout, ReturnPayout
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.notices import payout_held
from promptforge.actors.billing.payouts.domain import AT_STRIPE, CANCELLABLE, Payout, PayoutRules
from promptforge.actors.billing.payouts.endings import withhold_later
from promptforge.actors.billing.payouts.messages import (
    GetPayout,
    HoldPayout,
    ListAllPayouts,
    ListPayouts,
    PayoutProgress,
    PayoutView,
    ReleasePayout,
    RequestPayout,
    SendPayout,
    WithdrawPayout,
)
from promptforge.actors.billing.payouts.reasons import RELEASED
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.connect import Transfers
from promptforge.actors.users.messages import ExpectOpenAccounts
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.made import Made
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles

HELD = frozenset({PayoutProgress.HELD})


class PayoutsActor(Actor):
    """What is to be sent is a job, committed with its reserve in the ledger. Stripe is asked for nothing but whether it
    has a transfer, of a payout that waits for something: as long as there is none, it can be held and cancelled.
    """

    name = "payouts"
    asks = ("payout_holds", "users")

    def __init__(
        self,
        payouts: PayoutStore,
        accounts: ConnectStore,
        transfers: Transfers,
        earners: Earners,
        *,
        rules: PayoutRules,
    ) -> None:
        self._payouts = payouts
        self._transfers = transfers
        self._accounts = accounts
        self._earners = earners
        self._rules = rules

    @handles(RequestPayout, transactional=True)
    async def request(self, message: RequestPayout, context: Context) -> Made[PayoutView]:
        await self._earners.expect(context)
        amount = to_millicredits(message.amount)
        self._rules.check_minimum(amount)

        async def work(tx: Context) -> Made[PayoutView]:
            there = await self._payouts.find_open(tx.user_id, session=session_of(tx))
            if there is not None:
                if there.amount != amount:
                    raise PayoutUnderWay(extra={"payout_id": there.id})
                return Made(there.view(), new=False)
            payout = await self._reserved(amount, tx)
            reach("payout.requested.before_commit")
            return Made(payout.view())

        try:
            made = await context.transaction(work, completes=True)
        except (LinkedSales, InsufficientCredits):  # what it has withheld, if anything, is rolled back with it
            await withhold_later(context.user_id, context)
            raise
        reach("payout.requested.after_commit")
        return made

    async def _reserved(self, amount: int, tx: Context) -> Payout:
        """The reserve, the payout and the job that sends it are one commit."""
        now = tx.now()
        await tx.ask(ExpectOpenAccounts(user_ids=(tx.user_id,)))
        account = await self._accounts.find(tx.user_id, session=session_of(tx))
        if account is None or account.account_id is None or account.facts is None:
            raise NotOnboarded
        if (obstacle := account.obstacle(now=now, hold=self._rules.bank_hold)) is not None:
            raise obstacle
        rate = self._rules.rate_for(account.facts.currency)
        payout = Payout(
            id=new_id("pay"),
            user_id=tx.user_id,
            account_id=account.account_id,
            amount=amount,
            money=rate.money_for(amount),
            currency=rate.currency.code,
            rate=str(rate),
            state=PayoutProgress.REQUESTED,
            created_at=now,
        )
        await tx.ask(ReservePayout(payout_id=payout.id, user_id=payout.user_id, amount_millicredits=amount))
        await self._payouts.insert(payout, session=session_of(tx))
        await tx.enqueue(SendPayout(payout_id=payout.id), unique=payout.group)
        await tx.audit("payout.requested", payout.id, after=_facts(payout))
        return payout

    @handles(GetPayout)
    async def get(self, message: GetPayout, context: Context) -> PayoutView:
        return (await self._payouts.get(message.payout_id, owner_id=_only_of(context))).view()

    @handles(ListPayouts)
    async def list_own(self, message: ListPayouts, context: Context) -> Page[PayoutView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._payouts.list_page(cursor, message.limit, user_id=context.user_id)
        return Page(tuple(payout.view() for payout in page.items), page.next)

    @handles(ListAllPayouts)
    async def list_all(self, message: ListAllPayouts, context: Context) -> Page[PayoutView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._payouts.list_page(cursor, message.limit, state=message.state)
        return Page(tuple(payout.view() for payout in page.items), page.next)

    @handles(WithdrawPayout, key="payout_id", transactional=True)
    async def withdraw(self, message: WithdrawPayout, context: Context) -> PayoutView:
        """Against whoever sends it: both write the payout on a condition, and one of them is too late."""
        spent_key = await self._spent_key(message.payout_id, context)

        async def work(tx: Context) -> PayoutView:
            payout = await self._payouts.get(message.payout_id, owner_id=_only_of(tx), session=session_of(tx))
            if payout.state is PayoutProgress.CANCELLED:
                return payout.view()
            ended = {"state": PayoutProgress.CANCELLED, "ended_at": tx.now()}
            after = await self._stop(payout, spent_key, ended, tx)
            # Once it was sent, the ledger knows it as such.
            stopped = ReturnPayout if payout.key_number else CancelPayout
            await tx.ask(stopped(payout_id=payout.id))
            await tx.audit("payout.withdrawn", payout.id, before=_facts(payout), after=_facts(after))
            return after.view()

        return await context.transaction(work, completes=True)

    @handles(HoldPayout, key="payout_id", transactional=True)
    async def hold(self, message: HoldPayout, context: Context) -> PayoutView:
        spent_key = await self._spent_key(message.payout_id, context)

        async def work(tx: Context) -> PayoutView:
            payout = await self._payouts.get(message.payout_id, owner_id=None, session=session_of(tx))
            said = (message.reason, message.reason_code.value)
            if payout.state is PayoutProgress.HELD and (payout.reason, payout.reason_code) == said:
                return payout.view()
            changes = {"state": PayoutProgress.HELD, "reason": said[0], "reason_code": said[1]}
            after = await self._stop(payout, spent_key, changes, tx)
            await tx.enqueue(
                payout_held(after.id, after.user_id, (message.reason_code, message.reason), moment=tx.now())
            )
            because = {"reason_code": message.reason_code.value}
            await tx.audit("payout.held", payout.id, before=_facts(payout), after={**_facts(after), **because})
            return after.view()

        return await context.transaction(work, completes=True)

    async def _spent_key(self, payout_id: str, context: Context) -> int | None:
        """Of a payout that waits and that Stripe has no transfer of, the key that is used no more. Whoever asks Stripe
        again stores another one first.
        """
        payout = await self._payouts.find(payout_id)
        if payout is None or not payout.is_waiting(context.now()) or await self._transfers.list_group(payout.group):
            return None
        return payout.key_number

    async def _stop(self, payout: Payout, spent_key: int | None, changes: Mapping[str, Any], tx: Context) -> Payout:
        """Raises `PayoutNotOpen` where it is being sent. `changes` are BSON."""
        waits = spent_key is not None and payout.is_waiting(tx.now())
        states, key = (AT_STRIPE, spent_key) if waits else (CANCELLABLE, None)
        after = await self._payouts.move(payout.id, states, now=tx.now(), session=session_of(tx), of_key=key, **changes)
        if after is None:
            raise _moved_on(payout)
        return after

    @handles(ReleasePayout, key="payout_id", transactional=True)
    async def release(self, message: ReleasePayout, context: Context) -> PayoutView:
        async def work(tx: Context) -> PayoutView:
            payout = await self._payouts.get(message.payout_id, owner_id=None, session=session_of(tx))
            told = {"reason": message.reason, "reason_code": RELEASED}
            changes: dict[str, Any] = {"state": PayoutProgress.REQUESTED, **told}  # Any: BSON
            after = await self._payouts.move(payout.id, HELD, now=tx.now(), session=session_of(tx), **changes)
            if after is None:
                raise _moved_on(payout)
            await tx.enqueue(SendPayout(payout_id=after.id))  # beside one that may be waiting for a later time
            await tx.audit("payout.released", payout.id, before=_facts(payout), after=_facts(after))
            return after.view()

        return await context.transaction(work, completes=True)


def _only_of(context: Context) -> str | None:
    """Whose payouts one may see: one's own, or everybody's."""
    oversees = context.principal is not None and {Role.OPERATOR, Role.ADMIN} & context.principal.roles
    return None if oversees else context.user_id


def _moved_on(payout: Payout) -> PayoutNotOpen:
    return PayoutNotOpen(f"The payout is {payout.state}", extra={"state": payout.state.value})


def _facts(payout: Payout) -> dict[str, object]:
    """For the audit log, which holds no texts: the reason is the payout's."""
    return {
        "user_id": payout.user_id,
        "state": payout.state.value,
        "credits": from_millicredits(payout.amount),
        "money": payout.money,
        "currency": payout.currency,
    }
