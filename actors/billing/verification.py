"""Checks every invariant of the ledger against what is stored, in flat memory, beside a running service.

`verify_ledger(mongo)` is what the command line calls; `VerifyLedger` is the same for operators over HTTP. Rules, by the
names in the report:

- `unbalanced_journal`: the legs of a journal do not sum to zero
- `leg_count`: a journal has more or fewer legs than were posted
- `orphan_leg`: legs whose journal does not exist
- `bad_leg`: a leg whose amount is no integer, or is zero
- `balance`: a stored balance is not the sum of its legs
- `lot`: what is left of a lot is not the sum of its legs
- `negative`: a stored balance is below zero
- `unknown_user`: legs of a user who does not exist
- `purchase_without_journal`, `journal_without_purchase`: a purchase has not exactly one live journal
- `run_close_without_reserve`: a run of a model was closed, and nothing had been reserved for it
- `hold_without_run`: credits are reserved for a run that nobody will close
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from promptforge.actors.billing.ledger.audit import LedgerAudit, keys_of
from promptforge.actors.billing.ledger.domain import WITH_LOTS, Fund, Holdings, Owed, is_amount
from promptforge.actors.billing.ledger.store import holdings_from
from promptforge.actors.billing.messages import LedgerReport, Violation
from promptforge.core.amounts import from_millicredits
from promptforge.core.clock import SystemClock
from promptforge.core.mongo import Document, Mongo, Rows

NAMED = 100
"""How many violations a report names; it counts all of them."""

__all__ = ["LedgerReport", "Violation", "verify", "verify_ledger"]


async def verify_ledger(mongo: Mongo) -> LedgerReport:
    """Verify the ledger in a database."""
    return await verify(LedgerAudit(mongo), now=SystemClock().now)


async def verify(audit: LedgerAudit, *, now: Callable[[], datetime]) -> LedgerReport:
    """Verify journals, then balances, then purchases, then runs."""
    findings = _Findings()
    started_at = now()
    await _verify_journals(audit, findings)
    await _verify_balances(audit, findings)
    await _verify_purchases(audit, findings)
    await _verify_runs(audit, findings)
    return LedgerReport(
        ok=not findings.count,
        journals=findings.journals,
        legs=findings.legs,
        accounts=findings.accounts,
        purchases=findings.purchases,
        violations_found=findings.count,
        violations=tuple(findings.named),
        started_at=started_at,
        finished_at=now(),
    )


class _Findings:
    """Counts what was looked at, and keeps the first violations."""

    def __init__(self) -> None:
        self.journals = 0
        self.legs = 0
        self.accounts = 0
        self.purchases = 0
        self.count = 0
        self.named: list[Violation] = []

    def add(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            self.count += 1
            if len(self.named) < NAMED:
                self.named.append(violation)


# Journals


class _JournalSum:
    def __init__(self, journal_id: str, journal: Document | None) -> None:
        self._id = journal_id
        self._journal = journal
        self.count = 0
        self._total = 0
        self._bad = 0

    def add(self, leg: Document) -> None:
        self.count += 1
        amount = leg["amount"]
        if not is_amount(amount):
            self._bad += 1
        else:
            self._total += amount

    def violations(self) -> list[Violation]:
        if self._journal is None:
            return [Violation("orphan_leg", self._id, f"{self.count} legs belong to no journal")]
        found = []
        if self._bad:
            found.append(Violation("bad_leg", self._id, f"{self._bad} legs have an amount that no leg can have"))
        if self._total:
            found.append(Violation("unbalanced_journal", self._id, f"its legs sum to {_credits(self._total)}"))
        if self.count != self._journal["leg_count"]:
            detail = f"it was posted with {self._journal['leg_count']} legs and has {self.count}"
            found.append(Violation("leg_count", self._id, detail))
        return found


async def _verify_journals(audit: LedgerAudit, findings: _Findings) -> None:
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


# Balances


class _AccountSum:
    """The sums of one user's legs, beside what is stored for them."""

    def __init__(self, user_id: str, user: Document | None) -> None:
        self._user_id = user_id
        self._exists = user is not None
        self._holdings: Holdings = holdings_from((user or {}).get("credits") or {})
        self._sums: dict[str, int] = {}
        self._lots: dict[str, int] = {}
        self.count = 0

    def add(self, leg: Document) -> None:
        self.count += 1
        account, amount = leg.get("account", ""), leg["amount"]
        if not is_amount(amount):  # reported with its journal
            return
        through = self._holdings.pending_through
        if account == Owed.PENDING and (through is None or leg["created_at"] > through):
            return  # not folded yet, so it is not in the stored balance
        self._sums[account] = self._sums.get(account, 0) + amount
        if account in WITH_LOTS:
            left = self._lots.get(leg["lot"], 0) + amount
            self._lots[leg["lot"]] = left
            if not left:
                del self._lots[leg["lot"]]

    def violations(self) -> list[Violation]:
        if not self._exists:
            return [Violation("unknown_user", self._user_id, f"{self.count} legs belong to nobody")]
        found = []
        for account in (*Fund, *Owed):
            stored, total = self._holdings.balance(account), self._sums.get(account, 0)
            if stored != total:
                detail = f"{account} is stored as {_credits(stored)} and its legs sum to {_credits(total)}"
                found.append(Violation("balance", self._user_id, detail))
            if stored < 0:
                found.append(Violation("negative", self._user_id, f"{account} is {_credits(stored)}"))
        stored_lots = {lot.id: lot.remaining for lot in self._holdings.lots}
        for lot in sorted(stored_lots.keys() | self._lots.keys()):
            if stored_lots.get(lot, 0) != self._lots.get(lot, 0):
                left, legs = _credits(stored_lots.get(lot, 0)), _credits(self._lots.get(lot, 0))
                found.append(Violation("lot", self._user_id, f"{lot} is stored as {left} and its legs sum to {legs}"))
        return found


async def _verify_balances(audit: LedgerAudit, findings: _Findings) -> None:
    users, legs = audit.users(), audit.legs_by_user()
    async for key in keys_of(users, legs):
        total = _AccountSum(key, await users.take(key))
        async for leg in legs.all_of(key):
            total.add(leg)
        findings.accounts += 1
        if total.violations():
            findings.add(await _confirm_account(audit, key))


async def _confirm_account(audit: LedgerAudit, user_id: str) -> list[Violation]:
    async def add(user: Document | None, legs: Rows) -> list[Violation]:
        total = _AccountSum(user_id, user)
        async for leg in legs:
            total.add(leg)
        return total.violations() if user is not None or total.count else []

    return await audit.account(user_id, add)


# Purchases


async def _verify_purchases(audit: LedgerAudit, findings: _Findings) -> None:
    purchases, journals = audit.purchases(), audit.purchase_journals()
    async for purchase_id in keys_of(purchases, journals):
        purchase = await purchases.take(purchase_id)
        journal = await journals.take(purchase_id)
        findings.purchases += purchase is not None
        if (purchase is None) != (journal is None):
            findings.add(await _confirm_purchase(audit, purchase_id))


async def _confirm_purchase(audit: LedgerAudit, purchase_id: str) -> list[Violation]:
    bought, charged = await audit.purchase(purchase_id)
    if bought and not charged:
        return [Violation("purchase_without_journal", purchase_id, "it was never charged")]
    if charged and not bought:
        return [Violation("journal_without_purchase", purchase_id, "it was charged, and there is no such purchase")]
    return []


# Runs


async def _verify_runs(audit: LedgerAudit, findings: _Findings) -> None:
    reserves, closes = audit.run_reserves(), audit.run_closes()
    async for key in keys_of(reserves, closes):
        if (await reserves.take(key) is None) != (await closes.take(key) is None):
            findings.add(await _confirm_run(audit, key))


async def _confirm_run(audit: LedgerAudit, key: str) -> list[Violation]:
    reserved, closed, runs = await audit.run(key)
    if closed and not reserved:
        return [Violation("run_close_without_reserve", key, "it was closed, and nothing was reserved for it")]
    if reserved and not closed and not runs:
        return [Violation("hold_without_run", key, "credits are reserved for it, and there is no such run")]
    return []


def _credits(amount: object) -> str:
    """Millicredits for people; whatever else is stored, as it is."""
    return from_millicredits(amount) if isinstance(amount, int) else repr(amount)
