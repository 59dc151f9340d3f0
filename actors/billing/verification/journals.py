"""Every journal sums to zero, has its legs, and takes its credits from where journals of its kind may take them."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit, Returned, keys_of
from promptforge.actors.billing.ledger.domain import JournalKind, Platform, is_amount
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.actors.billing.verification.provenance import (
    CLAIMS_GIVEN_BACK,
    Moved,
    fault_of,
    fault_of_return,
    needs_its_origin,
)
from promptforge.core.mongo import Document

AT_ONCE = 200
"""Journals whose origins are read together."""


class _JournalSum:
    def __init__(self, journal_id: str, journal: Document | None) -> None:
        self._id = journal_id
        self._journal = journal
        self.count = 0
        self._total = 0
        self._bad = 0
        self._moved = Moved()

    def add(self, leg: Document) -> None:
        self.count += 1
        if is_amount(leg["amount"]):
            self._total += leg["amount"]
            self._moved.add(leg)
        else:
            self._bad += 1

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
        fee = self._moved.put(Platform.FEES) - self._moved.took(Platform.FEES)
        if self._journal["kind"] == JournalKind.PURCHASE and fee < 0:
            found.append(Violation("commission", self._id, f"it pays {credits(-fee)} more than its fee"))
        if found:
            return found  # where legs are missing or altered it says nothing more
        linked = "linked" in self._journal.get("refs", {})
        if (fault := fault_of(self._id, self._journal["kind"], self._moved, linked=linked)) is not None:
            found.append(Violation("unearned", self._id, fault))
        return found

    def returned(self) -> Returned | None:
        """What has to be read to judge it beside what it gives back of; None where its own legs say all."""
        if self._journal is None or not needs_its_origin(self._journal["kind"], self._moved):
            return None
        kind, refs = self._journal["kind"], self._journal.get("refs", {})
        if kind == JournalKind.RUN_CLOSE and "budget_id" in refs:
            return None  # a trial's, which is judged with its budget
        return Returned(self._id, kind, refs.get("topup", "") if kind in CLAIMS_GIVEN_BACK else "")


async def verify_journals(audit: LedgerAudit, findings: Findings) -> None:
    journals, legs = audit.journals(), audit.legs_by_journal()
    returned: list[Returned] = []
    async for key in keys_of(journals, legs):
        journal = await journals.take(key)
        total = _JournalSum(key, journal)
        async for leg in legs.all_of(key):
            total.add(leg)
        findings.journals += journal is not None
        findings.legs += total.count
        if total.violations():
            findings.add(await _confirm_journal(audit, key))
        elif (one := total.returned()) is not None:
            returned.append(one)
        if len(returned) == AT_ONCE:
            await _verify_returns(audit, findings, returned)
            returned.clear()
    await _verify_returns(audit, findings, returned)
    async for leg in audit.legs_without_journal():
        findings.legs += 1
        findings.add([Violation("orphan_leg", str(leg["_id"]), "it names no journal")])


async def _verify_returns(audit: LedgerAudit, findings: Findings, returned: list[Returned]) -> None:
    """Read in one snapshot: what a journal gives back of was posted before it, and is never changed."""
    if not returned:
        return
    for one, (legs, origin) in zip(returned, await audit.origins(returned), strict=True):
        if (fault := fault_of_return(one.kind, legs, origin)) is not None:
            findings.add([Violation("unearned", one.journal_id, fault)])


async def _confirm_journal(audit: LedgerAudit, journal_id: str) -> list[Violation]:
    journal, legs = await audit.journal(journal_id)
    total = _JournalSum(journal_id, journal)
    for leg in legs:
        total.add(leg)
    return total.violations() if journal is not None or legs else []
