"""What Stripe's events mean for payouts: connected accounts change, transfers are made and reversed, banks are paid.

An event only says that it is time to look: what counts is how the object stands at Stripe now, so order, repetition and
a late event change nothing. Events of accounts that no seller here has are ignored.
"""

from __future__ import annotations

from promptforge.actors.billing.connect.refreshing import ConnectRefresher
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.events.domain import Outcome, StripeEvent, ignored, quarantined
from promptforge.actors.billing.events.handling import Effect, ObjectEvents, Origin
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.payouts.domain import AT_STRIPE, Payout
from promptforge.actors.billing.payouts.endings import PayoutEndings
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.claims import object_id
from promptforge.actors.billing.stripe.connect import ConnectedAccounts, Transfer, Transfers
from promptforge.core.clock import Clock
from promptforge.core.context import Context

PROCESSED = Outcome(WebhookEventState.PROCESSED)
NOT_OURS = ignored("no seller here has this account")
GROUP = "payout:"
CHANGED = "account.updated"


class AccountEvents:
    """A seller's account has changed, or the bank that it is paid out to."""

    types = frozenset({CHANGED, *(f"account.external_account.{what}" for what in ("created", "updated", "deleted"))})
    origin = Origin.CONNECTED

    def __init__(self, store: ConnectStore, refresher: ConnectRefresher, clock: Clock) -> None:
        self._store = store
        self._refresher = refresher
        self._clock = clock

    async def read(self, event: StripeEvent) -> Outcome | Effect:
        account_id = event.account or ""
        if event.type == CHANGED and object_id(event.payload, "account") != account_id:
            return quarantined("it is about another account than the one that it comes from")
        if await self._store.find_by_account(account_id) is None:
            return NOT_OURS
        keep = await self._refresher.ask(account_id, asked_at=self._clock.now())

        async def effect(tx: Context) -> Outcome:
            return PROCESSED if await keep(tx) else NOT_OURS

        return effect


class BankPayoutEvents(ObjectEvents):
    """Stripe has paid a seller's bank, or could not. No credits move: the money is the seller's since the transfer."""

    types = frozenset({"payout.paid", "payout.failed"})
    origin = Origin.CONNECTED
    kind = "payout"

    def __init__(self, store: ConnectStore, payouts: PayoutStore, accounts: ConnectedAccounts) -> None:
        self._store = store
        self._payouts = payouts
        self._accounts = accounts

    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        account_id = event.account or ""
        if await self._store.find_by_account(account_id) is None:
            return NOT_OURS
        payout = await self._accounts.get_bank_payout(account_id, identifier)

        async def effect(tx: Context) -> Outcome:
            await self._store.put_bank_payout(account_id, payout, session=session_of(tx))
            await self._payouts.note_bank(account_id, payout, session=session_of(tx))
            return PROCESSED

        return effect


class TransferEvents(ObjectEvents):
    """A transfer of ours was made, changed or reversed. `StripeEventsActor` asks `payout_holds` for it."""

    types = frozenset({"transfer.created", "transfer.updated", "transfer.reversed"})
    origin = Origin.PLATFORM
    kind = "transfer"

    def __init__(self, payouts: PayoutStore, transfers: Transfers) -> None:
        self._payouts = payouts
        self._transfers = transfers
        self._endings = PayoutEndings(payouts)

    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        transfer = await self._transfers.get(identifier)
        if not (transfer.group or "").startswith(GROUP):
            return ignored("the transfer is for no payout")
        return lambda tx: self._apply(transfer, tx)

    async def _apply(self, transfer: Transfer, tx: Context) -> Outcome:
        payout = await self._payouts.find((transfer.group or "").removeprefix(GROUP), session=session_of(tx))
        if payout is None:
            return quarantined(f"there is no payout for the group {transfer.group}")
        if payout.transfer_id not in {None, transfer.id} or not transfer.fits(payout.request):
            return quarantined(f"it is another transfer than that of {payout.id}")
        if payout.state in AT_STRIPE:  # its job has not heard the answer yet
            payout = await self._endings.sent(payout, transfer, tx) or payout
        if payout.state not in {PayoutProgress.SENT, PayoutProgress.REVERSED}:
            return quarantined(f"the credits of {payout.id} were given back, and here is its transfer")
        await self._take_back(payout, transfer, tx)
        return PROCESSED

    async def _take_back(self, payout: Payout, transfer: Transfer, tx: Context) -> None:
        if transfer.amount_reversed and payout.state is PayoutProgress.SENT:
            await self._endings.taken_back(payout, transfer.amount_reversed, tx)
