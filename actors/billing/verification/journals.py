"""Every journal sums to zero, has its legs, and takes its credits from where, and from whom, journals of its kind may;
and there are no legs beside journals.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from promptforge.actors.billing.ledger.adjustments.domain import GRANTED_BY, WRITTEN_OFF_BY
from promptforge.actors.billing.ledger.audit import LedgerAudit, Returned
from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Platform, is_amount
from promptforge.actors.billing.ledger.opening.domain import opening_key
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.actors.billing.verification.provenance import (
    CLAIMS_GIVEN_BACK,
    Moved,
    fault_of,
    fault_of_return,
    needs_its_origin,
)
from promptforge.actors.billing.verification.ways import Whose, about, stranger_of, stranger_to
from promptforge.core.mongo import Document

AT_ONCE = 200
"""Journals whose origins are read together."""
ADDED_UP_AFTER = timedelta(minutes=5)
"""By then no transaction is open that could add an earlier leg: MongoDB ends one after 60 s."""
AHEAD = timedelta(minutes=1)
"""How far the clock that stamped a leg may be ahead."""
HAVE_RULES_FOR_IT = frozenset({JournalKind.RUN_CLOSE, JournalKind.PURCHASE_REFUND, JournalKind.COMPENSATION})
"""Kinds of which others tell that what they are about was never posted."""


class _JournalSum:
    def __init__(self, journal_id: str, journal: Document | None) -> None:
        self._id = journal_id
        self._journal = journal
        self.count = 0
        self._total = 0
        self._bad = 0
        self._stranger: str | None = None
        self._moved = Moved()

    def add(self, leg: Document) -> None:
        self.count += 1
        if not is_amount(leg.get("amount")):
            self._bad += 1
            return
        self._total += leg["amount"]
        self._moved.add(leg)
        if self._journal is not None and self._stranger is None:
            self._stranger = stranger_of(self._journal, leg)

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
        if (stranger := self._stranger or self._wrong_names()) is not None:
            found.append(Violation("not_theirs", self._id, stranger))
        return found

    def _wrong_names(self) -> str | None:
        """Where what it says of itself is not what it moves."""
        journal = self._journal
        if journal is None:
            return None
        if journal["kind"] == JournalKind.OPENING and opening_key(Whose.OWNER.of(journal) or "") != self._id:
            return f"its key is not that of {Whose.OWNER.of(journal)}, whose account it opens"
        agreed = journal.get("refs", {}).get("adjustment_id")
        if agreed is not None and self._id not in {f"{GRANTED_BY}{agreed}", f"{WRITTEN_OFF_BY}{agreed}"}:
            return f"its key is not that of {agreed}, which it says that it carries out"
        price = journal.get("refs", {}).get("price")
        if journal["kind"] == JournalKind.PURCHASE and (paid := credits(self._moved.took(*Fund))) != price:
            return f"its buyer pays {paid}, and its price is {price}"
        return None

    def returned(self) -> Returned | None:
        """What has to be read to judge it beside what it gives back of; None where its own legs say all."""
        if self._journal is None or not needs_its_origin(self._journal["kind"], self._moved):
            return None
        kind, refs = self._journal["kind"], self._journal.get("refs", {})
        if kind == JournalKind.RUN_CLOSE and "budget_id" in refs:
            return None  # a trial's, which is judged with its budget
        return Returned(self._id, kind, refs.get("topup", "") if kind in CLAIMS_GIVEN_BACK else "")


async def verify_journals(audit: LedgerAudit, findings: Findings, *, now: Callable[[], datetime]) -> None:
    journals, legs = audit.journals(), audit.legs_by_journal()
    owners = _Owners(audit, findings)
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
            continue
        if (one := total.returned()) is not None:
            returned.append(one)
        if journal is not None:
            await owners.add(journal)
        if len(returned) == AT_ONCE:
            await _verify_returns(audit, findings, returned)
            returned.clear()
    await _verify_returns(audit, findings, returned)
    await owners.verify()
    await _verify_legs(audit, findings, now)


async def _verify_returns(audit: LedgerAudit, findings: Findings, returned: list[Returned]) -> None:
    """Read in one snapshot: what a journal gives back of was posted before it, and is never changed."""
    if not returned:
        return
    for one, (legs, origin) in zip(returned, await audit.origins(returned), strict=True):
        if (fault := fault_of_return(one.kind, legs, origin)) is not None:
            findings.add([Violation("unearned", one.journal_id, fault)])


class _Owners:
    """Compares journals with those that they are about, some at a time, and what was collected with the partners."""

    def __init__(self, audit: LedgerAudit, findings: Findings) -> None:
        self._audit = audit
        self._findings = findings
        self._waiting: list[tuple[Document, str]] = []

    async def add(self, journal: Document) -> None:
        key = about(journal["_id"], journal)
        if journal["kind"] == JournalKind.COMMISSION_COLLECT:
            key = Whose.PARTNER.of(journal) or ""
        if key is not None:
            self._waiting.append((journal, key))
        if len(self._waiting) == AT_ONCE:
            await self.verify()

    async def verify(self) -> None:
        collected = {key for one, key in self._waiting if one["kind"] == JournalKind.COMMISSION_COLLECT}
        origins = await self._audit.journals_named([key for _, key in self._waiting if key not in collected])
        owners = await self._audit.owners_of_partners(sorted(collected)) if collected else {}
        for journal, key in self._waiting:
            if journal["kind"] == JournalKind.COMMISSION_COLLECT:
                fault = _wrong_collection(journal, owners.get(key))
            elif key in origins:
                fault = stranger_to(journal, origins[key])
            else:
                fault = None if journal["kind"] in HAVE_RULES_FOR_IT else f"it is about {key}, which was never posted"
            if fault is not None:
                self._findings.add([Violation("not_theirs", journal["_id"], fault)])
        self._waiting.clear()


def _wrong_collection(journal: Document, owner: str | None) -> str | None:
    collector, partner = Whose.OWNER.of(journal), Whose.PARTNER.of(journal)
    return None if collector == owner else f"{collector} collected what is {owner}'s, the partner {partner}"


async def _verify_legs(audit: LedgerAudit, findings: Findings, now: Callable[[], datetime]) -> None:
    """Whatever way a row has come among the legs: none is of no journal, and all of them together sum to zero.

    What is posted while they are added up may be seen in part, so a sum that is not zero is told of only where another
    one is not either.
    """
    async for row in audit.rows_without_journal():
        findings.legs += 1
        findings.add([Violation("orphan_leg", str(row["_id"]), "it names no journal")])
    async for row in audit.journals_without_key():
        findings.add([Violation("unearned", repr(row["_id"]), "a journal has no key")])
    if await _sum_of_legs(audit, now()) and (total := await _sum_of_legs(audit, now())):
        findings.add([Violation("total", "transactions", f"all legs together sum to {credits(total)}")])


async def _sum_of_legs(audit: LedgerAudit, now: datetime) -> float:
    return await audit.sum_of_legs(since=now - ADDED_UP_AFTER, until=now + AHEAD)


async def _confirm_journal(audit: LedgerAudit, journal_id: str) -> list[Violation]:
    journal, legs = await audit.journal(journal_id)
    total = _JournalSum(journal_id, journal)
    for leg in legs:
        total.add(leg)
    return total.violations() if journal is not None or legs else []
