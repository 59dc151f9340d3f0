"""Credits: what people have, what changed it, and the sales and grants that do. Every change is a journal."""

from __future__ import annotations

from promptforge.actors.billing.errors import GrantTooLarge, JournalMismatch, SelfPurchase
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import (
    Journal,
    Part,
    grant_journal,
    is_charge_for,
    plan_payment,
    purchase_journal,
    purchase_key,
)
from promptforge.actors.billing.ledger.runs import (
    charge_journal,
    charged,
    close_key,
    held,
    reserve_journal,
    reserve_key,
)
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.actors.billing.ledger.views import charge_of, credits_view, transaction_view
from promptforge.actors.billing.messages import (
    Charge,
    ChargePurchase,
    CloseRun,
    CreditsView,
    GetCredits,
    GrantCredits,
    GrantView,
    LedgerReport,
    ListTransactions,
    ReserveRun,
    RunCharge,
    RunHold,
    TransactionView,
    VerifyLedger,
)
from promptforge.actors.billing.notices import credits_granted
from promptforge.actors.billing.verification import verify
from promptforge.core.amounts import MILLI, from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError, FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Session
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

DEFAULT_FEE_BP = 1500
DEFAULT_GRANT_CAP = 10_000 * MILLI


class BillingActor(Actor):
    """`fee_bp`: the platform's share of a sale in basis points; `grant_cap`: millicredits that one grant may give."""

    name = "billing"

    def __init__(
        self,
        ledger: LedgerStore,
        audit: LedgerAudit,
        *,
        fee_bp: int = DEFAULT_FEE_BP,
        grant_cap: int = DEFAULT_GRANT_CAP,
    ) -> None:
        if not 0 <= fee_bp <= 10_000:
            raise ConfigurationError(f"PLATFORM_FEE_BP is {fee_bp}: basis points are between 0 and 10000")
        self._ledger = ledger
        self._audit = audit
        self._fee_bp = fee_bp
        self._grant_cap = grant_cap

    # What one has

    @handles(GetCredits)
    async def get_credits(self, message: GetCredits, context: Context) -> CreditsView:
        holdings = await self._ledger.get_holdings(context.user_id)
        unfolded = await self._ledger.sum_unfolded(context.user_id, holdings.pending_through)
        return credits_view(holdings, unfolded)

    @handles(ListTransactions)
    async def list_transactions(self, message: ListTransactions, context: Context) -> Page[TransactionView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._ledger.list_entries(context.user_id, cursor, message.limit)
        return Page(tuple(transaction_view(entry) for entry in page.items), page.next)

    # What changes it

    @handles(ChargePurchase, key="buyer_id", transactional=True)
    async def charge_purchase(self, message: ChargePurchase, context: Context) -> Charge:
        if message.buyer_id == message.seller_id:
            raise SelfPurchase
        return await context.transaction(lambda tx: self._charge(message, tx))

    async def _charge(self, message: ChargePurchase, tx: Context) -> Charge:
        session = _session_of(tx)
        journal = await self._ledger.find_journal(purchase_key(message.purchase_id), session=session)
        if journal is not None:
            return charge_of(_same(journal, message))
        parts: tuple[Part, ...] = ()
        if message.price_millicredits:
            holdings = await self._ledger.get_holdings(message.buyer_id, session=session)
            parts = plan_payment(holdings, message.price_millicredits)
        journal = purchase_journal(
            message.purchase_id,
            buyer_id=message.buyer_id,
            seller_id=message.seller_id,
            parts=parts,
            fee_bp=self._fee_bp,
        )
        await self._ledger.post(journal, now=tx.now(), session=session)
        return charge_of(journal)

    @handles(GrantCredits, key="user_id", transactional=True)
    async def grant_credits(self, message: GrantCredits, context: Context) -> GrantView:
        amount = to_millicredits(message.amount)
        if amount == 0:
            error = FieldError("A grant gives something", "too_small", pointer="/amount")
            raise Invalid("The amount is zero", errors=(error,))
        if amount > self._grant_cap:
            raise GrantTooLarge(f"One grant gives at most {from_millicredits(self._grant_cap)} credits")
        grant_id = new_id("grt")
        refs = {"grant_id": grant_id, "reason": message.reason, "granted_by": context.user_id}
        journal = grant_journal(grant_id, user_id=message.user_id, amount=amount, refs=refs)

        async def work(tx: Context) -> None:
            await self._ledger.post(journal, now=tx.now(), session=_session_of(tx))
            await tx.enqueue(credits_granted(journal.id, message.user_id, amount, message.reason))
            granted = {"user_id": message.user_id, "credits": message.amount, "reason": message.reason}
            await tx.audit("credits.granted", grant_id, after=granted)

        await context.transaction(work)
        return GrantView(grant_id, message.user_id, from_millicredits(amount), message.reason, context.now())

    # Runs of language models

    @handles(ReserveRun, key="user_id", transactional=True)
    async def reserve_run(self, message: ReserveRun, context: Context) -> RunHold:
        return await context.transaction(lambda tx: self._reserve(message, tx))

    async def _reserve(self, message: ReserveRun, tx: Context) -> RunHold:
        session = _session_of(tx)
        there = await self._ledger.find_journal(reserve_key(message.run_id), session=session)
        if there is not None:
            return RunHold(held(_own(there, message.user_id)))
        holdings = await self._ledger.get_holdings(message.user_id, session=session)
        parts = plan_payment(holdings, message.amount_millicredits)
        await self._ledger.post(
            reserve_journal(message.run_id, user_id=message.user_id, parts=parts), now=tx.now(), session=session
        )
        return RunHold(message.amount_millicredits)

    @handles(CloseRun, key="run_id", transactional=True)
    async def close_run(self, message: CloseRun, context: Context) -> RunCharge:
        return await context.transaction(lambda tx: self._close(message, tx))

    async def _close(self, message: CloseRun, tx: Context) -> RunCharge:
        session = _session_of(tx)
        closed = await self._ledger.find_journal(close_key(message.run_id), session=session)
        if closed is not None:
            return RunCharge(charged(closed), first=False)
        reserved = await self._ledger.find_journal(reserve_key(message.run_id), session=session)
        if reserved is None:
            raise NotFound(f"Nothing was reserved for the run {message.run_id}")
        journal = charge_journal(message.run_id, reserved, min(message.charge_millicredits, held(reserved)))
        await self._ledger.post(journal, now=tx.now(), session=session)
        return RunCharge(charged(journal), first=True)

    # Whether it is right

    @handles(VerifyLedger)
    async def verify_ledger(self, message: VerifyLedger, context: Context) -> LedgerReport:
        return await verify(self._audit, now=context.now)


def _session_of(tx: Context) -> Session:
    if tx.session is None:
        raise RuntimeError("the ledger is written in a transaction only")
    return tx.session


def _own(journal: Journal, user_id: str) -> Journal:
    if user_id not in journal.parties:
        raise JournalMismatch(f"{journal.id} was posted before, for somebody else")
    return journal


def _same(journal: Journal, message: ChargePurchase) -> Journal:
    """The journal of this purchase, if this is what it charged for."""
    same = is_charge_for(
        journal,
        message.purchase_id,
        buyer_id=message.buyer_id,
        seller_id=message.seller_id,
        price=message.price_millicredits,
    )
    if not same:
        raise JournalMismatch(f"{journal.id} was posted before, and differently")
    return journal
