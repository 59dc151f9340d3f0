"""Checks every invariant of the ledger against what is stored, in flat memory, beside a running service.

`verify_ledger(mongo)` is what the command line calls; `CheckLedger` is the job, every night and when operators ask for
it over HTTP, which logs what it finds and keeps the report. Rules, by the names in the report:

- `unbalanced_journal`: the legs of a journal do not sum to zero
- `leg_count`: a journal has more or fewer legs than were posted
- `orphan_leg`: legs whose journal does not exist, or that name none; whatever row of the service before this one is
  marked as no leg has no account of the ledger and is nobody's
- `total`: all legs together do not sum to zero
- `bad_leg`: a leg whose amount is no integer, or is zero
- `balance`: a stored balance is not the sum of its legs
- `lot`: what is left of a lot is not the sum of its legs
- `frozen`: a lot is frozen and nothing freezes its payment, or the other way round
- `negative`: a stored balance is below zero, or a debt above it
- `unknown_user`: legs of a user who does not exist
- `unearned`: something is payable that did not come from a settled sale, or of a sale that was paid with gifts, or went
  back as other credits than were paid: a journal takes or gives what journals of its kind do not
- `not_theirs`: a journal moves credits of somebody whom it is not about: of another seller than the sale's, buyer than
  the purchase's, partner or owner of a payment than those; or it is about what was never posted
- `sale`: what is kept as pending of a sale is not the sum of its legs
- `unpaid`, `paid_without_journal`: credits were bought without a receipt, or a paid checkout, that says the same of who
  bought how much; or something was paid, and brought nothing
- `over_taken`: more credits were taken back for a charge than were given for it, or other than its claims say
- `purchase_without_journal`, `journal_without_purchase`: a purchase has not exactly one live journal
- `purchase_differs`: a purchase says of its buyer, seller or price otherwise than its journal
- `refund_without_purchase`, `refund_without_journal`, `refund_not_applied`: a sale was taken back in the ledger
  only, or in the marketplace only
- `run_close_without_reserve`: a run of a model was closed, and nothing had been reserved for it
- `hold_without_run`: credits are reserved for a run that nobody will close
- `payout`: what was set aside for a payout, sent or given back is not what the payout says, or there is none
- `transfer`: a payout that was sent and what has moved at Stripe's balance differ, or money was transferred for none
- `budget`: what is kept of a budget for trials is not what its journals say
- `adjustment`: a debt was written off, or a large gift made, otherwise than two operators agreed; or was not
- `money_unbalanced`: the legs of a movement of real money do not sum to zero
- `money_differs`: the last comparison found another balance at Stripe than the ledger's
- `seal`: a checkpoint is not over what it sealed: a journal, a leg or a checkpoint was altered or removed; or the chain
  is not the one whose head was kept
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.messages import LedgerReport, LedgerSeal, Violation
from promptforge.actors.billing.verification.adjustments import verify_adjustments
from promptforge.actors.billing.verification.balances import verify_balances, verify_partners
from promptforge.actors.billing.verification.budgets import verify_budgets
from promptforge.actors.billing.verification.charges import verify_charges
from promptforge.actors.billing.verification.findings import Findings
from promptforge.actors.billing.verification.journals import verify_journals
from promptforge.actors.billing.verification.money import verify_money
from promptforge.actors.billing.verification.payments import verify_payments
from promptforge.actors.billing.verification.payouts import verify_payouts
from promptforge.actors.billing.verification.purchases import verify_purchases, verify_refunds, verify_sales
from promptforge.actors.billing.verification.runs import verify_runs
from promptforge.actors.billing.verification.seals import verify_seals
from promptforge.actors.billing.verification.transfers import verify_transfers
from promptforge.core.clock import SystemClock
from promptforge.core.mongo import Mongo

__all__ = ["LedgerReport", "Violation", "verify", "verify_ledger"]

Progress = Callable[[float, str], None]
"""Told the percent that is done, by what steps usually take, and what is looked at next."""


async def verify_ledger(mongo: Mongo, *, kept: Sequence[LedgerSeal] = ()) -> LedgerReport:
    """Verify the ledger in a database; `kept` are heads of its seals that were kept elsewhere."""
    return await verify(LedgerAudit(mongo), LedgerSeals(mongo), now=SystemClock().now, kept=kept)


async def verify(
    audit: LedgerAudit,
    seals: LedgerSeals,
    *,
    now: Callable[[], datetime],
    progress: Progress = lambda _percent, _subject: None,
    kept: Sequence[LedgerSeal] = (),
) -> LedgerReport:
    """Verify one subject after the other; see the module for all of them. `progress` is told before each."""
    findings = Findings()
    started_at = now()
    steps: tuple[tuple[str, int, Callable[[], Awaitable[None]]], ...] = (
        ("journals", 30, lambda: verify_journals(audit, findings, now=now)),
        ("balances", 18, lambda: verify_balances(audit, findings)),
        ("partners", 2, lambda: verify_partners(audit, findings)),
        ("purchases", 8, lambda: verify_purchases(audit, findings)),
        ("refunds", 2, lambda: verify_refunds(audit, findings, now=started_at)),
        ("sales", 12, lambda: verify_sales(audit, findings)),
        ("payments", 3, lambda: verify_payments(audit, findings)),
        ("charges", 5, lambda: verify_charges(audit, findings)),
        ("runs", 2, lambda: verify_runs(audit, findings)),
        ("payouts", 2, lambda: verify_payouts(audit, findings)),
        ("transfers", 1, lambda: verify_transfers(audit, findings, now=started_at)),
        ("budgets", 1, lambda: verify_budgets(audit, findings)),
        ("adjustments", 1, lambda: verify_adjustments(audit, findings)),
        ("money", 3, lambda: verify_money(audit.money, findings)),
        ("seals", 10, lambda: verify_seals(seals, findings, kept)),
    )
    done = 0
    for subject, share, look in steps:
        progress(done, subject)
        await look()
        done += share
    return LedgerReport(
        ok=not findings.count,
        journals=findings.journals,
        legs=findings.legs,
        accounts=findings.accounts,
        purchases=findings.purchases,
        movements=findings.movements,
        money=tuple(findings.money),
        violations_found=findings.count,
        violations=tuple(findings.named),
        seal=findings.seal,
        started_at=started_at,
        finished_at=now(),
    )
