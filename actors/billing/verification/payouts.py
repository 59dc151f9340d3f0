"""Each payout's credits are where its state says: set aside, gone to the bank, come back; told the same by all three.

The legs of a payout's journals are compared with what the ledger keeps of it (`ledger_payouts`), and that with the
payout as its seller and Stripe know it (`payouts`): a payout that was sent has given nothing back but what of its
transfer was reversed, and nothing is set aside for no payout.
"""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import Owed, Platform, is_amount
from promptforge.actors.billing.ledger.payouts.domain import PayoutState
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document

STATES = {
    PayoutProgress.REQUESTED: PayoutState.RESERVED,
    PayoutProgress.HELD: PayoutState.RESERVED,
    PayoutProgress.SENDING: PayoutState.SENDING,
    PayoutProgress.WAITING_FOR_FUNDS: PayoutState.SENDING,
    PayoutProgress.SENT: PayoutState.SENT,
    PayoutProgress.CANCELLED: PayoutState.RELEASED,
    PayoutProgress.RETURNED: PayoutState.RELEASED,
    PayoutProgress.REVERSED: PayoutState.RELEASED,
}
"""How a payout stands for its seller, and in the ledger."""


class _PayoutSum:
    def __init__(self, payout_id: str, kept: Document | None, payout: Document | None) -> None:
        self._id = payout_id
        self._kept = kept
        self._payout = payout
        self._held = self._gone = self._ever_gone = 0
        self._stranger: str | None = None
        self.count = 0

    def add(self, leg: Document) -> None:
        self.count += 1
        if not is_amount(leg.get("amount")):  # reported with its journal
            return
        if self._kept is not None and leg["user_id"] not in (None, self._kept["user_id"]):
            self._stranger = str(leg["user_id"])
        if leg["account"] == Owed.RESERVED:
            self._held += leg["amount"]
        elif leg["account"] == Platform.PAYOUTS:
            self._gone += leg["amount"]
            self._ever_gone += max(0, leg["amount"])

    def violations(self) -> list[Violation]:
        kept, payout = self._kept, self._payout
        if kept is None or payout is None:
            missing = "the ledger keeps nothing of it" if kept is None else "there is no such payout"
            return self._wrong(f"{self.count} legs are about it, and {missing}")
        if self._stranger is not None:
            return self._wrong(f"it is {kept['user_id']}'s, and moves credits of {self._stranger}")
        state, amount, returned = kept["state"], kept["amount"], kept.get("returned", 0)
        held = amount if state in {PayoutState.RESERVED, PayoutState.SENDING} else 0
        gone = amount - returned if state == PayoutState.SENT else 0
        found = []
        for name, expected, booked in (("set aside", held, self._held), ("sent", gone, self._gone)):
            if expected != booked:
                detail = f"it is {state}: {credits(expected)} are {name} then, and by its legs {credits(booked)} are"
                found += self._wrong(detail)
        return found or self._disagreements(kept, payout)

    def _disagreements(self, kept: Document, payout: Document) -> list[Violation]:
        """Between the ledger and the payout itself."""
        progress, reversed_money = payout["state"], payout["reversed_money"]
        expected = STATES.get(progress)
        if expected is PayoutState.RESERVED and payout.get("key_number"):  # held after Stripe had refused it
            expected = PayoutState.SENDING
        if expected != kept["state"]:
            return self._wrong(f"it is {progress}, and {kept['state']} in the ledger")
        if (payout["user_id"], payout["amount"]) != (kept["user_id"], kept["amount"]):
            return self._wrong("its seller or its amount is another one in the ledger")
        back = payout["amount"] * reversed_money // payout["money"]
        if progress == PayoutProgress.SENT and kept.get("returned", 0) != back:
            given = credits(kept.get("returned", 0))
            return self._wrong(f"{given} came back, and what of its transfer was reversed is worth {credits(back)}")
        was_sent = progress == PayoutProgress.REVERSED
        if progress != PayoutProgress.SENT and (self._ever_gone == payout["amount"]) != was_sent:
            return self._wrong(f"it is {progress}, and by its legs it was {'never ' if was_sent else ''}sent")
        if was_sent and reversed_money < payout["money"]:
            return self._wrong("all of it was given back, and its transfer was not reversed")
        return []

    def _wrong(self, detail: str) -> list[Violation]:
        return [Violation("payout", self._id, detail)]


async def verify_payouts(audit: LedgerAudit, findings: Findings) -> None:
    kept, payouts, legs = audit.kept_payouts(), audit.payouts(), audit.payout_legs()
    async for key in keys_of(kept, payouts, legs):
        total = _PayoutSum(key, await kept.take(key), await payouts.take(key))
        async for leg in legs.all_of(key):
            total.add(leg)
        if total.violations():
            findings.add(await _confirm_payout(audit, key))


async def _confirm_payout(audit: LedgerAudit, key: str) -> list[Violation]:
    payout_id = key.removesuffix(":")
    kept, payout, legs = await audit.payout(payout_id)
    total = _PayoutSum(payout_id, kept, payout)
    for leg in legs:
        total.add(leg)
    return total.violations() if kept is not None or payout is not None or legs else []
