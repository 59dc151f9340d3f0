"""What is kept of each budget for trials is what its journals say: set aside, held, spent, given back."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import JournalKind, Owed, Platform
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.actors.billing.verification.ways import Whose
from promptforge.core.amounts import to_millicredits
from promptforge.core.mongo import Document


class _BudgetSum:
    def __init__(self, budget_id: str, row: Document | None) -> None:
        self._id = budget_id
        self._row = row
        self._funded = self._spent = self._returned = 0
        self._left: dict[str | None, int] = {}
        self._holds: dict[str, int] = {}
        self._closed: str | None = None
        self._stranger: str | None = None
        self.journals = 0

    def add(self, journal: Document) -> None:
        self.journals += 1
        refs = journal["refs"]
        if self._row is not None and (owner := Whose.OWNER.of(journal)) != self._row["user_id"]:
            self._stranger = str(owner)
        for leg in journal["legs"]:
            if leg["account"] == Owed.RESERVED and isinstance(leg["amount"], int):
                self._left[leg["source"]] = self._left.get(leg["source"], 0) + leg["amount"]
        match journal["kind"]:
            case JournalKind.TRIAL_FUND:
                self._funded += _sum(journal, Owed.RESERVED)
            case JournalKind.TRIAL_RETURN:
                self._returned -= _sum(journal, Owed.RESERVED)
            case JournalKind.RUN_CLOSE:
                self._spent += _sum(journal, Platform.LLM)
                self._closed = refs["run_id"]
            case JournalKind.RUN_RESERVE if refs["run_id"] != self._closed:
                self._holds[refs["run_id"]] = to_millicredits(refs["reserved"])

    def violations(self) -> list[Violation]:
        row = self._row
        if row is None:
            return self._wrong(f"{self.journals} journals are about it, and there is no such budget")
        if self._stranger is not None:
            return self._wrong(f"it is {row['user_id']}'s, and {self._stranger}'s credits were moved for it")
        funded = sum(amount for _, amount, _ in row["parts"])
        returned = funded - row["spent"] if row["ended"] else 0
        found = []
        for name, stored, booked in (
            ("set aside", funded, self._funded),
            ("spent", row["spent"], self._spent),
            ("given back", returned, self._returned),
            ("left", funded - row["spent"] - returned, sum(self._left.values())),
            ("held", sum(row["holds"].values()), sum(self._holds.values())),
        ):
            if stored != booked:
                found += self._wrong(f"{credits(stored)} are stored as {name}, and booked were {credits(booked)}")
        if min(self._left.values(), default=0) < 0:
            found += self._wrong("more came out of it of one kind of credits than was set aside of that")
        if not found and row["holds"] != self._holds:
            found += self._wrong("it holds credits for other trials than those under way")
        return found

    def _wrong(self, detail: str) -> list[Violation]:
        return [Violation("budget", self._id, detail)]


async def verify_budgets(audit: LedgerAudit, findings: Findings) -> None:
    budgets, journals = audit.budgets(), audit.budget_journals()
    async for key in keys_of(budgets, journals):
        total = _BudgetSum(key, await budgets.take(key))
        async for journal in journals.all_of(key):
            total.add(journal)
        if total.violations():
            findings.add(await _confirm_budget(audit, key))


async def _confirm_budget(audit: LedgerAudit, budget_id: str) -> list[Violation]:
    row, journals = await audit.budget(budget_id)
    total = _BudgetSum(budget_id, row)
    for journal in journals:
        total.add(journal)
    return total.violations() if row is not None or journals else []


def _sum(journal: Document, account: str) -> int:
    """Amounts that are no integers are reported with their journal."""
    return sum(leg["amount"] for leg in journal["legs"] if leg["account"] == account and isinstance(leg["amount"], int))
