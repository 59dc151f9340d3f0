"""Every stored balance and lot is the sum of its legs, and a lot is frozen where its payment is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from promptforge.actors.billing.ledger.accounts import stored_of
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import WITH_LOTS, Fund, Owed, is_amount
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document


class _AccountSum:
    """The sums of one user's legs, and the payments that are frozen, beside what is stored for them."""

    def __init__(self, user_id: str, user: Document | None) -> None:
        self._user_id = user_id
        self._exists = user is not None
        self._holdings = stored_of(user)
        self._sums: dict[str, int] = {}
        self._lots: dict[str, int] = {}
        self._frozen: set[str] = set()
        self.count = 0

    def add(self, leg: Document) -> None:
        self.count += 1
        account, made_at = str(leg.get("account")), leg.get("created_at")
        amount: Any = leg.get("amount")  # Any: BSON values
        if not is_amount(amount):  # reported with its journal
            return
        through = self._holdings.pending_through
        if account == Owed.PENDING and (through is None or not isinstance(made_at, datetime) or made_at > through):
            return  # not folded yet, so it is not in the stored balance
        self.add_sum(account, str(leg.get("lot")), amount)

    def add_sum(self, account: str, lot: str, amount: int) -> None:
        """Of several legs; the lot counts where the account has lots."""
        self._sums[account] = self._sums.get(account, 0) + amount
        if account in WITH_LOTS:
            left = self._lots.get(lot, 0) + amount
            self._lots[lot] = left
            if not left:
                del self._lots[lot]

    def freeze(self, topup_id: str) -> None:
        """Something freezes this payment of theirs."""
        self._frozen.add(topup_id)

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
        return found + self._wrong_lots()

    def _wrong_lots(self) -> list[Violation]:
        found = []
        stored_lots = {lot.id: lot.remaining for lot in self._holdings.lots}
        for lot in sorted(stored_lots.keys() | self._lots.keys()):
            if stored_lots.get(lot, 0) != self._lots.get(lot, 0):
                left, legs = credits(stored_lots.get(lot, 0)), credits(self._lots.get(lot, 0))
                found.append(Violation("lot", self._user_id, f"{lot} is stored as {left} and its legs sum to {legs}"))
        for one in self._holdings.lots:
            if one.frozen != (one.id in self._frozen):
                wrong = "is frozen, and its payment is not" if one.frozen else "is not frozen, and its payment is"
                found.append(Violation("frozen", self._user_id, f"{one.id} {wrong}"))
        return found


async def verify_balances(audit: LedgerAudit, findings: Findings) -> None:
    users, legs, frozen = audit.accounts.users(), audit.accounts.legs_by_user(), audit.accounts.frozen_topups()
    async for key in keys_of(users, legs, frozen):
        total = _AccountSum(key, await users.take(key))
        async for leg in legs.all_of(key):
            total.add(leg)
        async for topup in frozen.all_of(key):
            total.freeze(topup["_id"])
        findings.accounts += 1
        if total.violations():
            findings.add(await _confirm_account(audit, key))


async def _confirm_account(audit: LedgerAudit, user_id: str) -> list[Violation]:
    seen = await audit.accounts.account(user_id)
    total = _AccountSum(user_id, seen.user)
    total.count = seen.legs
    for account, lot, amount in seen.sums:
        total.add_sum(account, lot, amount)
    for topup_id in seen.frozen:
        total.freeze(topup_id)
    return total.violations() if seen.user is not None or seen.legs else []


# Partners


async def verify_partners(audit: LedgerAudit, findings: Findings) -> None:
    """Few and small, beside users: one at a time, in one snapshot each."""
    async for partner_id in audit.partner_ids():
        seen = await audit.partner(partner_id)
        for name, (stored, total) in (("earned", seen.earned), ("pending", seen.pending), ("commission", seen.brought)):
            if stored != total or stored < 0:
                detail = f"{name} is stored as {credits(stored)} and its legs sum to {credits(total)}"
                findings.add([Violation("balance", f"partner:{partner_id}", detail)])
