"""Every movement of real money is posted with legs that sum to zero, and the last comparison found Stripe's balance."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import is_amount
from promptforge.actors.billing.messages import MoneyComparison, Violation
from promptforge.actors.billing.money.domain import BALANCE
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.verification.findings import Findings
from promptforge.core.mongo import Document


async def verify_money(money: MoneyStore, findings: Findings) -> None:
    """A journal is one document, so that what is read of it is always of one moment."""
    async for row in money.journals():
        findings.movements += 1
        if (fault := _fault(row)) is not None:
            findings.add([Violation("money_unbalanced", str(row["_id"]), fault)])
    for livemode in (True, False):
        if (last := await money.find_last_comparison(livemode=livemode)) is not None:
            for one in last.currencies:
                findings.money.append(MoneyComparison(livemode, one.currency, one.stripe, one.ledger, last.at))
    for told in findings.money:
        if told.stripe != told.ledger:
            at = f"{told.compared_at:%Y-%m-%d %H:%M}"
            detail = f"at {at} Stripe had {told.stripe} minor units, the ledger {told.ledger}"
            findings.add([Violation("money_differs", told.currency, detail)])


def _fault(row: Document) -> str | None:
    legs = row["legs"]
    if not all(is_amount(leg["amount"]) for leg in legs):
        return "a leg has an amount that no leg can have"
    if total := sum(leg["amount"] for leg in legs):
        return f"its legs sum to {total} minor units"
    balance = sum(leg["amount"] for leg in legs if leg["account"] == BALANCE)
    return None if balance == row["net"] else f"it counts {row['net']} and its leg is {balance}"
