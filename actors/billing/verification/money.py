"""Every movement of real money is posted with legs that sum to zero, and the last comparison found Stripe's balance."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import is_amount
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.money.domain import BALANCE
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.verification.findings import Findings
from promptforge.core.mongo import Document


async def verify_money(money: MoneyStore, findings: Findings) -> None:
    """A journal is one document, so that what is read of it is always of one moment."""
    async for row in money.journals():
        if (fault := _fault(row)) is not None:
            findings.add([Violation("money_unbalanced", str(row["_id"]), fault)])
    for livemode in (True, False):
        last = await money.find_last_comparison(livemode=livemode)
        for one in last.currencies if last is not None else ():
            if last is not None and not one.ok:
                detail = f"at {last.at:%Y-%m-%d %H:%M} Stripe had {one.stripe} minor units, the ledger {one.ledger}"
                findings.add([Violation("money_differs", one.currency, detail)])


def _fault(row: Document) -> str | None:
    legs = row["legs"]
    if not all(is_amount(leg["amount"]) for leg in legs):
        return "a leg has an amount that no leg can have"
    if total := sum(leg["amount"] for leg in legs):
        return f"its legs sum to {total} minor units"
    balance = sum(leg["amount"] for leg in legs if leg["account"] == BALANCE)
    return None if balance == row["net"] else f"it counts {row['net']} and its leg is {balance}"
