"""Sends payouts: marked in the ledger, asked of Stripe under a key stored before, and finalised or given back.

Each step leaves behind what the next attempt needs, whichever process makes it. Where Stripe does not answer, the same
key is sent again: it stands for one transfer at most. An answered error is kept with its key and repeated, so after one
the transfers of the payout's group are listed, and only where there is none another key is stored and sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from promptforge.actors.billing.connect.refreshing import ConnectRefresher
from promptforge.actors.billing.errors import (
    DebtOutstanding,
    LinkedSales,
    PayoutOnHold,
    StripeDeclined,
    StripeRefused,
    UnknownAtStripe,
)
from promptforge.actors.billing.ledger.messages import BeginPayoutTransfer, CheckPayoutTransfer
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.notices import payout_waits
from promptforge.actors.billing.payouts.domain import (
    AT_STRIPE,
    FIRST_WAIT_SECONDS,
    SOON_SECONDS,
    Payout,
    PayoutRules,
    is_final,
    is_short_of_funds,
)
from promptforge.actors.billing.payouts.endings import PayoutEndings, withhold_later
from promptforge.actors.billing.payouts.messages import PayoutProgress, SendPayout, SweepPayouts
from promptforge.actors.billing.payouts.reasons import SHORT_OF_FUNDS, STRIPE_SILENT, WAITS
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.connect import Transfer, Transfers
from promptforge.actors.users.messages import ExpectOpenAccounts
from promptforge.core.context import Context
from promptforge.core.errors import AccountSuspended
from promptforge.core.failpoints import reach
from promptforge.core.jobs import Snooze
from promptforge.core.runtime import Actor, handles

OBSTACLE_SECONDS = 900
LEFT_AFTER = timedelta(minutes=10)
AT_ONCE = 500

log = structlog.get_logger(__name__)

T = TypeVar("T")


class PayoutSendingActor(Actor):
    """It is an actor of its own because it waits for Stripe, and nothing else should wait with it."""

    name = "payout_sending"
    asks = ("payout_holds", "users")

    def __init__(
        self, payouts: PayoutStore, refresher: ConnectRefresher, transfers: Transfers, *, rules: PayoutRules
    ) -> None:
        self._payouts = payouts
        self._endings = PayoutEndings(payouts)
        self._refresher = refresher
        self._transfers = transfers
        self._rules = rules

    @handles(SendPayout, key="payout_id")
    async def send(self, message: SendPayout, context: Context) -> None:
        payout = await self._payouts.find(message.payout_id)
        if payout is not None and payout.state is PayoutProgress.REQUESTED:
            await self._wait_for_obstacles(payout, context)
            payout = await self._unless_owing(payout, partial(self._begin, payout), context)
        if payout is None or payout.state not in AT_STRIPE:
            return
        transfer = None
        if payout.must_look(context.now()):
            transfer = await self._find_transfer(payout)
            if transfer is None:  # nothing has left so far
                await self._wait_for_obstacles(payout, context)
                await self._unless_owing(payout, partial(self._check, payout.id), context)
        if transfer is None:
            transfer = await self._ask(payout, context)
        if transfer is not None:
            await self._finalise(payout, transfer, context)

    async def _wait_for_obstacles(self, payout: Payout, context: Context) -> None:
        """What has come in between since it was requested, as Stripe tells now. It can be cancelled meanwhile."""
        try:
            account = await self._refresher.refresh(payout.account_id, context)
        except (StripeRefused, UnknownAtStripe) as error:
            said = f"Stripe does not tell how the account stands ({error.code})"
            await self._note(payout, STRIPE_SILENT, said, context)
            raise Snooze(OBSTACLE_SECONDS) from error
        obstacle = None if account is None else account.obstacle(now=context.now(), hold=self._rules.bank_hold)
        if obstacle is not None:
            await self._note(payout, obstacle.code, obstacle.detail, context)
            raise Snooze(OBSTACLE_SECONDS)

    async def _unless_owing(self, payout: Payout, work: Callable[[Context], Awaitable[T]], context: Context) -> T:
        """What `work` answers. The payout waits instead while the seller owes, is suspended (which is asked in the same
        transaction), or a payment of theirs is disputed.
        """

        async def unless_suspended(tx: Context) -> T:
            await tx.ask(ExpectOpenAccounts(user_ids=(payout.user_id,)))
            return await work(tx)

        try:
            return await context.transaction(unless_suspended)
        except (DebtOutstanding, PayoutOnHold, AccountSuspended) as obstacle:
            await self._note(payout, obstacle.code, obstacle.detail, context)
            if isinstance(obstacle, LinkedSales):
                await withhold_later(payout.user_id, context)
            raise Snooze(OBSTACLE_SECONDS, obstacle.detail) from obstacle

    async def _check(self, payout_id: str, tx: Context) -> None:
        await tx.ask(CheckPayoutTransfer(payout_id=payout_id))

    async def _note(self, payout: Payout, code: str, reason: str, context: Context) -> None:
        """Its seller is told, once of each code, where there is something that they can do about it."""

        async def work(tx: Context) -> None:
            told: dict[str, Any] = {"reason": reason, "reason_code": code}  # Any: BSON
            waits = await self._payouts.move(payout.id, {payout.state}, now=tx.now(), session=session_of(tx), **told)
            if waits is not None and code in WAITS:
                await tx.enqueue(payout_waits(payout.id, payout.user_id, code, reason))

        if (payout.reason_code, payout.reason) != (code, reason):
            await context.transaction(work)
        else:
            await self._payouts.move(payout.id, {payout.state}, now=context.now(), session=None)

    async def _begin(self, payout: Payout, tx: Context) -> Payout | None:
        """Mark it, with its first key, before Stripe hears of it; with the one that Stripe has refused, where it was
        held after that. None where it was cancelled or held meanwhile.
        """
        now = tx.now()
        key = {"look_first": True} if payout.key_number else {"key_number": 1, "key_stored_at": now}
        changes: dict[str, Any] = {
            "state": PayoutProgress.SENDING,
            "reason": None,
            "reason_code": None,
            **key,
        }  # Any: BSON
        begun = await self._payouts.move(
            payout.id, {PayoutProgress.REQUESTED}, now=now, session=session_of(tx), **changes
        )
        if begun is not None:
            await tx.ask(BeginPayoutTransfer(payout_id=payout.id))
        return begun

    async def _find_transfer(self, payout: Payout) -> Transfer | None:
        """What was done for this payout before. One that does not fit is nothing to build on: people look at it."""
        found = await self._transfers.list_group(payout.group)
        if not found:
            return None
        if len(found) > 1 or not found[0].fits(payout.request):
            log.error("payout.other_transfer", payout_id=payout.id, transfers=[one.id for one in found])
            raise Snooze(OBSTACLE_SECONDS, "Stripe has another transfer for this payout than what was asked for")
        return found[0]

    async def _ask(self, payout: Payout, context: Context) -> Transfer | None:
        """None where another process is at it, or where the payout was given back."""
        if payout.must_look(context.now()):
            renewed = await self._payouts.use_another_key(payout, now=context.now())
            if renewed is None:
                return None
            payout = renewed
        reach("payout.before_call")
        try:
            transfer = await self._transfers.create(payout.request)
        except StripeDeclined as error:
            return await self._answered(payout, error, context)
        reach("payout.after_call")
        if not transfer.fits(payout.request):
            log.error("payout.other_transfer", payout_id=payout.id, transfers=[transfer.id])
            raise Snooze(OBSTACLE_SECONDS, "Stripe has made another transfer than what was asked for")
        return transfer

    async def _answered(self, payout: Payout, error: StripeDeclined, context: Context) -> Transfer | None:
        """Stripe said no, or that it failed: the key is spent, and the next attempt looks first. An answer that comes
        when another attempt has stored another key says nothing of that one.
        """
        short = is_short_of_funds(error)
        state = PayoutProgress.WAITING_FOR_FUNDS if short else PayoutProgress.SENDING
        reason = "The platform's balance at Stripe is too low at present" if short else f"Stripe said {error.reason}"
        told = {"reason": reason, "reason_code": SHORT_OF_FUNDS if short else STRIPE_SILENT}
        changes = {"state": state, **told, "look_first": True, "waits": payout.waits + 1}
        kept = await self._payouts.move(
            payout.id, AT_STRIPE, now=context.now(), session=None, of_key=payout.key_number, **changes
        )
        log.warning("payout.declined", payout_id=payout.id, reason=error.reason, status=error.http_status)
        if kept is None:
            return None
        if not is_final(error):
            raise Snooze(payout.wait_seconds(SOON_SECONDS if error.http_status >= 500 else FIRST_WAIT_SECONDS), reason)
        transfer = await self._find_transfer(payout)
        if transfer is None:
            await context.transaction(lambda tx: self._refused(payout, error.reason, tx), completes=True)
        return transfer

    async def _finalise(self, payout: Payout, transfer: Transfer, context: Context) -> None:
        await context.transaction(lambda tx: self._sent(payout, transfer, tx), completes=True)
        reach("payout.finalise.after_commit")

    async def _sent(self, payout: Payout, transfer: Transfer, tx: Context) -> None:
        await self._endings.sent(payout, transfer, tx)

    async def _refused(self, payout: Payout, reason: str, tx: Context) -> None:
        await self._endings.refused(payout, reason, tx)

    @handles(SweepPayouts)
    async def sweep(self, message: SweepPayouts, context: Context) -> int:
        before, found, after = context.now() - LEFT_AFTER, 0, ""
        while left := await self._payouts.list_left(before=before, after=after, limit=AT_ONCE):
            for payout_id in left:
                await context.enqueue(SendPayout(payout_id=payout_id), unique=f"payout:{payout_id}")
            found, after = found + len(left), left[-1]
        return found
