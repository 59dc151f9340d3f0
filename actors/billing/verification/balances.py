"""Every stored balance and lot is the sum of its legs."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit, keys_of
from promptforge.actors.billing.ledger.domain import WITH_LOTS, Fund, Owed, is_amount
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.store import holdings_from
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document, Rows


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
                detail = f"{account} is stored as {credits(stored)} and its legs sum to {credits(total)}"
                found.append(Violation("balance", self._user_id, detail))
            if stored > 0 if account is Owed.DEBT else stored < 0:
                found.append(Violation("negative", self._user_id, f"{account} is {credits(stored)}"))
        stored_lots = {lot.id: lot.remaining for lot in self._holdings.lots}
        for lot in sorted(stored_lots.keys() | self._lots.keys()):
            if stored_lots.get(lot, 0) != self._lots.get(lot, 0):
                left, legs = credits(stored_lots.get(lot, 0)), credits(self._lots.get(lot, 0))
                found.append(Violation("lot", self._user_id, f"{lot} is stored as {left} and its legs sum to {legs}"))
        return found


async def verify_balances(audit: LedgerAudit, findings: Findings) -> None:
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


# Partners


async def verify_partners(audit: LedgerAudit, findings: Findings) -> None:
    """Few and small, beside users: one at a time, in one snapshot each."""
    async for partner_id in audit.partner_ids():
        seen = await audit.partner(partner_id)
        for name, (stored, total) in (("earned", seen.earned), ("pending", seen.pending), ("commission", seen.brought)):
            if stored != total or stored < 0:
                detail = f"{name} is stored as {credits(stored)} and its legs sum to {credits(total)}"
                findings.add([Violation("balance", f"partner:{partner_id}", detail)])
