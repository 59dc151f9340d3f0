"""Credits: what people have, what changed it, and the sales and runs that do. Every change is a journal."""

from __future__ import annotations

import structlog

from promptforge.actors.billing.errors import SelfPurchase
from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.messages import CheckLedger, SealLedger
from promptforge.actors.billing.ledger.sales.commands import charge
from promptforge.actors.billing.ledger.sales.domain import Commission, Deal
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.ledger.views import charge_of, credits_view, transaction_view
from promptforge.actors.billing.messages import (
    Charge,
    ChargePurchase,
    CloseRun,
    CreditsView,
    GetCredits,
    LedgerReport,
    ListTransactions,
    ReserveRun,
    RunCharge,
    RunHold,
    TransactionView,
    VerifyLedger,
)
from promptforge.actors.billing.verification import verify
from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError
from promptforge.core.failpoints import reach
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

DEFAULT_FEE_BP = 1500

log = structlog.get_logger(__name__)


class BillingActor(Actor):
    """`fee_bp`: the platform's share of a sale in basis points."""

    name = "billing"

    def __init__(
        self,
        ledger: Ledger,
        audit: LedgerAudit,
        seals: LedgerSeals,
        *,
        fee_bp: int = DEFAULT_FEE_BP,
    ) -> None:
        if not 0 <= fee_bp <= 10_000:
            raise ConfigurationError(f"PLATFORM_FEE_BP is {fee_bp}: basis points are between 0 and 10000")
        self._ledger = ledger
        self._audit = audit
        self._seals = seals
        self._fee_bp = fee_bp

    # What one has

    @handles(GetCredits)
    async def get_credits(self, message: GetCredits, context: Context) -> CreditsView:
        holdings = await self._ledger.entries.get_holdings(context.user_id)
        unfolded = await self._ledger.entries.sum_unfolded(context.user_id, holdings.pending_through)
        return credits_view(holdings, unfolded.amount)

    @handles(ListTransactions)
    async def list_transactions(self, message: ListTransactions, context: Context) -> Page[TransactionView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._ledger.entries.list_entries(context.user_id, cursor, message.limit)
        return Page(tuple(transaction_view(entry) for entry in page.items), page.next)

    # What changes it

    @handles(ChargePurchase, key="buyer_id", transactional=True)
    async def charge_purchase(self, message: ChargePurchase, context: Context) -> Charge:
        if message.buyer_id == message.seller_id:
            raise SelfPurchase

        async def work(tx: Context) -> Charge:
            charged = await charge(self._ledger.open(tx), _deal_of(message), fee_bp=self._fee_bp)
            reach("sale.charged")
            return charge_of(charged)

        return await context.transaction(work)

    # Runs of language models

    @handles(ReserveRun, key="user_id", transactional=True)
    async def reserve_run(self, message: ReserveRun, context: Context) -> RunHold:
        async def work(tx: Context) -> RunHold:
            journal = await runs.reserve(
                self._ledger.open(tx), message.run_id, user_id=message.user_id, amount=message.amount_millicredits
            )
            return RunHold(runs.held(journal))

        return await context.transaction(work)

    @handles(CloseRun, key="run_id", transactional=True)
    async def close_run(self, message: CloseRun, context: Context) -> RunCharge:
        async def work(tx: Context) -> RunCharge:
            journal, first = await runs.close(self._ledger.open(tx), message.run_id, charge=message.charge_millicredits)
            return RunCharge(runs.charged(journal), first=first)

        return await context.transaction(work)

    # Whether it is right

    @handles(VerifyLedger)
    async def verify_ledger(self, message: VerifyLedger, context: Context) -> LedgerReport:
        return await verify(self._audit, self._seals, now=context.now)

    @handles(CheckLedger)
    async def check_ledger(self, message: CheckLedger, context: Context) -> bool:
        report = await verify(self._audit, self._seals, now=context.now)
        for violation in report.violations:
            log.error("ledger.violated", rule=violation.rule, subject=violation.subject, detail=violation.detail)
        return report.ok

    @handles(SealLedger)
    async def seal_ledger(self, message: SealLedger, context: Context) -> int:
        return await self._seals.seal(context.now())


def _deal_of(message: ChargePurchase) -> Deal:
    commission = None
    if message.partner_id is not None:
        commission = Commission(message.partner_id, message.commission_bp)
    return Deal(
        message.purchase_id,
        message.buyer_id,
        message.seller_id,
        message.price_millicredits,
        commission,
        linked=message.linked,
    )
