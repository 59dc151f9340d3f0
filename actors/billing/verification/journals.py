"""Every journal sums to zero and has its legs, and no settlement makes payable what its sale did not."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit, keys_of
from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed, Platform, is_amount
from promptforge.actors.billing.ledger.sales.domain import SETTLED_BY
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document


class _JournalSum:
    def __init__(self, journal_id: str, journal: Document | None) -> None:
        self._id = journal_id
        self._journal = journal
        self.count = 0
        self._total = 0
        self._bad = 0
        self._settled = 0
        self._fee = 0

    def add(self, leg: Document) -> None:
        self.count += 1
        amount = leg["amount"]
        if not is_amount(amount):
            self._bad += 1
        else:
            self._total += amount
            self._settled += amount if _is_payable(leg) else 0
            self._fee += amount if leg.get("account") == Platform.FEES else 0

    def violations(self) -> list[Violation]:
        if self._journal is None:
            return [Violation("orphan_leg", self._id, f"{self.count} legs belong to no journal")]
        found = []
        if self._bad:
            found.append(Violation("bad_leg", self._id, f"{self._bad} legs have an amount that no leg can have"))
        if self._total:
            found.append(Violation("unbalanced_journal", self._id, f"its legs sum to {credits(self._total)}"))
        if self.count != self._journal["leg_count"]:
            detail = f"it was posted with {self._journal['leg_count']} legs and has {self.count}"
            found.append(Violation("leg_count", self._id, detail))
        if self._id.startswith(SETTLED_BY) and self._settled > 0:
            detail = f"it makes {credits(self._settled)} more payable than was pending of bought credits"
            found.append(Violation("unearned", self._id, detail))
        if self._journal["kind"] == JournalKind.PURCHASE and self._fee < 0:
            found.append(Violation("commission", self._id, f"it pays {credits(-self._fee)} more than its fee"))
        return found


def _is_payable(leg: Document) -> bool:
    """Of a settlement: what leaves the seller's pending credits (below zero), what is earned, and what pays a debt."""
    if leg.get("account") == Owed.PENDING:
        return bool(leg.get("source") == Fund.PURCHASED)
    return leg.get("account") in {Fund.EARNED, Fund.PURCHASED, Owed.DEBT}


async def verify_journals(audit: LedgerAudit, findings: Findings) -> None:
    journals, legs = audit.journals(), audit.legs_by_journal()
    async for key in keys_of(journals, legs):
        journal = await journals.take(key)
        total = _JournalSum(key, journal)
        async for leg in legs.all_of(key):
            total.add(leg)
        findings.journals += journal is not None
        findings.legs += total.count
        if total.violations():
            findings.add(await _confirm_journal(audit, key))
    async for leg in audit.legs_without_journal():
        findings.legs += 1
        findings.add([Violation("orphan_leg", str(leg["_id"]), "it names no journal")])


async def _confirm_journal(audit: LedgerAudit, journal_id: str) -> list[Violation]:
    journal, legs = await audit.journal(journal_id)
    total = _JournalSum(journal_id, journal)
    for leg in legs:
        total.add(leg)
    return total.violations() if journal is not None or legs else []
