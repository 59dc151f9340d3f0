"""Credits: what people have, what changed it, and the sales and runs that do. Every change is a journal."""

from __future__ import annotations

import structlog

from promptforge.actors.billing.errors import SelfPurchase
from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.messages import (
    CheckLedger,
    CloseRun,
    CreditLotsView,
    LedgerVerdict,
    ListCreditLots,
    ReserveRun,
    RunCharge,
    RunHold,
    SealLedger,
)
from promptforge.actors.billing.ledger.sales.commands import charge
from promptforge.actors.billing.ledger.sales.domain import BASIS_POINTS, Commission, Deal
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.ledger.transaction import Ledger, session_of
from promptforge.actors.billing.ledger.views import charge_of, credits_view, lots_view, transaction_view
from promptforge.actors.billing.messages import (
    AreAccountsLinked,
    Charge,
    ChargePurchase,
    CreditsView,
    ForgetInstruments,
    GetAccountGroup,
    GetCredits,
    GetLedgerReport,
    LedgerReport,
    ListTransactions,
    RequestVerification,
    TransactionView,
    VerificationStarted,
)
from promptforge.actors.billing.verification import verify
from promptforge.actors.billing.verification.store import ReportStore
from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError
from promptforge.core.failpoints import reach
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

DEFAULT_FEE_BP = 1500

log = structlog.get_logger(__name__)


class BillingActor(Actor):
    """`fee_bp`: the platform's share of a sale in basis points; a partner gets `commission_max_bp` of it at most."""

    name = "billing"

    def __init__(
        self,
        ledger: Ledger,
        audit: LedgerAudit,
        seals: LedgerSeals,
        reports: ReportStore,
        *,
        fee_bp: int = DEFAULT_FEE_BP,
        commission_max_bp: int = BASIS_POINTS,
    ) -> None:
        if not 0 <= fee_bp <= 10_000:
            raise ConfigurationError(f"PLATFORM_FEE_BP is {fee_bp}: basis points are between 0 and 10000")
        self._ledger = ledger
        self._audit = audit
        self._seals = seals
        self._reports = reports
        self._fee_bp = fee_bp
        self._commission_max_bp = commission_max_bp

    # What one has

    @handles(GetCredits)
    async def get_credits(self, message: GetCredits, context: Context) -> CreditsView:
        holdings = await self._ledger.entries.get_holdings(context.user_id)
        unfolded = await self._ledger.entries.sum_unfolded(context.user_id, holdings.pending_through)
        return credits_view(holdings, unfolded.amount)

    @handles(ListCreditLots)
    async def list_lots(self, message: ListCreditLots, context: Context) -> CreditLotsView:
        holdings = await self._ledger.entries.get_holdings(context.user_id)
        return lots_view(holdings, await self._ledger.entries.origins([lot.id for lot in holdings.lots]))

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
            charged = await charge(self._ledger.open(tx), self._deal_of(message), fee_bp=self._fee_bp)
            reach("sale.charged")
            return charge_of(charged)

        return await context.transaction(work)

    def _deal_of(self, message: ChargePurchase) -> Deal:
        commission = None
        if (promised := message.commission) is not None:
            basis_points = min(promised.basis_points, self._commission_max_bp)
            commission = Commission(promised.partner_id, basis_points, promised.referrer_id, promised.code)
        return Deal(
            message.purchase_id,
            message.buyer_id,
            message.seller_id,
            message.price_millicredits,
            commission,
        )

    @handles(AreAccountsLinked, transactional=True)
    async def are_linked(self, message: AreAccountsLinked, context: Context) -> bool:
        return await self._ledger.links.are_linked(message.one, message.other, session=context.session)

    @handles(GetAccountGroup, transactional=True)
    async def get_group(self, message: GetAccountGroup, context: Context) -> tuple[str, ...]:
        return await self._ledger.links.group_of(message.user_id, session=context.session)

    @handles(ForgetInstruments)
    async def forget_instruments(self, message: ForgetInstruments, context: Context) -> None:
        await self._ledger.links.forget(message.user_id)

    # Runs of language models

    @handles(ReserveRun, key="user_id", transactional=True)
    async def reserve_run(self, message: ReserveRun, context: Context) -> RunHold:
        async def work(tx: Context) -> RunHold:
            books, amount = self._ledger.open(tx), message.amount_millicredits
            if message.for_platform:
                await runs.reserve_for_platform(books, message.run_id, amount=amount)
                return RunHold(amount)
            if message.trial_of is not None:
                await runs.reserve_from_budget(books, message.run_id, subject=message.trial_of, amount=amount)
                return RunHold(amount)
            journal = await runs.reserve(books, message.run_id, user_id=message.user_id, amount=amount)
            return RunHold(runs.held(journal))

        return await context.transaction(work)

    @handles(CloseRun, key="run_id", transactional=True)
    async def close_run(self, message: CloseRun, context: Context) -> RunCharge:
        async def work(tx: Context) -> RunCharge:
            share = message.share
            earned = None
            if share is not None:
                earned = runs.Earned(
                    share.seller_id, share.gross_millicredits, self._fee_bp, listing_id=share.listing_id
                )
            books, charge = self._ledger.open(tx), message.charge_millicredits
            journal, first = await runs.close(books, message.run_id, charge=charge, earned=earned)
            return RunCharge(runs.charged(journal), first=first, share_millicredits=runs.share(journal))

        return await context.transaction(work)

    # Whether it is right

    @handles(GetLedgerReport)
    async def get_report(self, message: GetLedgerReport, context: Context) -> LedgerReport:
        return await self._reports.get_last()

    @handles(RequestVerification, transactional=True)
    async def request_verification(self, message: RequestVerification, context: Context) -> VerificationStarted:
        async def work(tx: Context) -> VerificationStarted:
            job_id = await tx.enqueue(CheckLedger(), unique="check-ledger")
            await tx.audit("ledger.verified", job_id)
            return VerificationStarted(job_id)

        return await context.transaction(work, completes=True)

    @handles(CheckLedger)
    async def check_ledger(self, message: CheckLedger, context: Context) -> LedgerVerdict:
        report = await verify(self._audit, self._seals, now=context.now, progress=context.report_progress)
        for violation in report.violations:
            log.error("ledger.violated", rule=violation.rule, subject=violation.subject, detail=violation.detail)
        if report.seal is not None:  # so that it is outside of the database as well
            log.info("ledger.verified", ok=report.ok, seal=report.seal.number, hash=report.seal.hash)

        async def keep(tx: Context) -> LedgerVerdict:
            await self._reports.put(report, session=session_of(tx))
            return LedgerVerdict(report.ok, report.violations_found)

        return await context.transaction(keep, completes=True)

    @handles(SealLedger)
    async def seal_ledger(self, message: SealLedger, context: Context) -> int:
        return await self._seals.seal(context.now())
