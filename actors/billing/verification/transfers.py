"""Each payout that was sent is one movement of Stripe's balance, of as much money, and no other transfer was made.

What is younger than a day may be under way between Stripe, the payout and the ledger of money. A transfer that somebody
made by hand is known by its event, which told of no payout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.money.domain import OVERLAP_SECONDS
from promptforge.actors.billing.verification.findings import Findings
from promptforge.core.mongo import Document

UNDER_WAY = timedelta(days=1)


async def verify_transfers(audit: LedgerAudit, findings: Findings, *, now: datetime) -> None:
    """Where no money is posted there is nothing to compare with."""
    through = await audit.money.posted_through()
    if through is None:
        return
    settled = min(now - UNDER_WAY, datetime.fromtimestamp(max(0, through - OVERLAP_SECONDS), UTC))
    payouts, movements = audit.sent_payouts(), audit.transfers()
    async for key in keys_of(payouts, movements):
        payout = await payouts.take(key)
        if _faults(key, payout, [row async for row in movements.all_of(key)], settled):
            payout, moved, by_hand = await audit.transfer(key)
            findings.add(_faults(key, payout, moved, settled, by_hand=by_hand))


def _faults(
    key: str, payout: Document | None, moved: list[Document], settled: datetime, *, by_hand: bool = False
) -> list[Violation]:
    if payout is None:
        late = [row for row in moved if datetime.fromtimestamp(row["created"], UTC) <= settled]
        return [] if by_hand or not late else _wrong(key, "money was transferred, and no payout tells of it")
    if not moved:
        sent_at = payout.get("transferred_at")
        lost = sent_at is not None and sent_at <= settled
        return _wrong(key, f"{payout['_id']} was sent by it, and no money has moved") if lost else []
    told, found = (-payout["money"], payout["currency"]), [(row["amount"], row["currency"]) for row in moved]
    if found != [told]:
        shown = ", ".join(f"{amount} {currency}" for amount, currency in found)
        return _wrong(key, f"{payout['_id']} is of {payout['money']} {payout['currency']}, and what moved is {shown}")
    return []


def _wrong(key: str, detail: str) -> list[Violation]:
    return [Violation("transfer", key, detail)]
