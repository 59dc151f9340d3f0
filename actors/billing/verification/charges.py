"""Never more credits are taken back for a charge than were given for it, and exactly what the claims on it say."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import is_amount
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.ledger.topups.store import topup_from
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document


class _ChargeSum:
    """`given` by the payment, `taken` back by all that came later; both above zero."""

    def __init__(self, topup_id: str, row: Document | None) -> None:
        self._id = topup_id
        self._topup = topup_from(row) if row is not None else None
        self._given = 0
        self._taken = 0

    def add(self, leg: Document) -> None:
        if not is_amount(leg.get("amount")):  # reported with its journal
            return
        if leg["journal_id"] == self._id:
            self._given -= leg["amount"]
        else:
            self._taken += leg["amount"]

    def violations(self) -> list[Violation]:
        found = []
        if not 0 <= self._taken <= self._given:
            detail = f"{credits(self._given)} were given for it, and {credits(self._taken)} taken back"
            found.append(Violation("over_taken", self._id, detail))
        due = self._topup.due if self._topup is not None else 0
        if self._taken != due:
            detail = f"its claims take {credits(due)}, and {credits(self._taken)} were taken back"
            found.append(Violation("over_taken", self._id, detail))
        return found


async def verify_charges(audit: LedgerAudit, findings: Findings) -> None:
    topups, legs = audit.topups(), audit.topup_legs()
    async for key in keys_of(topups, legs):
        total = _ChargeSum(key, await topups.take(key))
        async for leg in legs.all_of(key):
            total.add(leg)
        if total.violations():
            findings.add(await _confirm_charge(audit, key))


async def _confirm_charge(audit: LedgerAudit, topup_id: str) -> list[Violation]:
    row, legs = await audit.topup(topup_id)
    total = _ChargeSum(topup_id, row)
    for leg in legs:
        total.add(leg)
    return total.violations()
