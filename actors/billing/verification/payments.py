"""Credits that were bought were paid for: each such journal has its receipt and, of a pack, its paid checkout, which
say the same of who bought how much; and what was paid has brought its credits.

A checkout and a receipt are written in the transaction that posts the journal, so none of them is ever there alone.
"""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit, PaymentSeen
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import CheckoutState, Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.actors.billing.verification.ways import Whose


async def verify_payments(audit: LedgerAudit, findings: Findings) -> None:
    journals, legs = audit.payments(), audit.topup_legs()
    checkouts, receipts = audit.checkouts(), audit.receipts()
    async for key in keys_of(journals, legs, checkouts, receipts):
        brought = 0
        journal, checkout = await journals.take(key), await checkouts.take(key)
        async for leg in legs.all_of(key):
            brought -= leg["amount"] if leg["journal_id"] == key and isinstance(leg["amount"], int) else 0
        seen = PaymentSeen(journal, brought, checkout, await receipts.take(key))
        if _faults(key, seen):
            findings.add(_faults(key, await audit.payment(key)))


def _faults(key: str, seen: PaymentSeen) -> list[Violation]:
    """`key`: the journal's."""
    receipt, checkout = seen.receipt, seen.checkout
    paid = checkout is not None and checkout["state"] == CheckoutState.PAID
    if seen.journal is None:
        alone = [name for name, there in (("checkout is paid", paid), ("receipt is there", receipt)) if there]
        return [Violation("paid_without_journal", key, f"its {one}, and it brought no credits") for one in alone]
    if receipt is None:
        return _unpaid(key, "it has no receipt")
    if key.startswith("topup:") and not paid:
        state = "there is no checkout of it" if checkout is None else f"its checkout is {checkout['state']}"
        return _unpaid(key, f"{state}, and nothing was paid")
    told = [("receipt", receipt["user_id"], receipt["credits"])]
    if paid and checkout is not None:
        told.append(("checkout", checkout["user_id"], checkout["pack"]["credits"] + checkout["pack"]["bonus"]))
    owner = Whose.OWNER.of(seen.journal)
    for name, user_id, amount in told:
        if (user_id, amount) != (owner, seen.brought):
            said = f"its {name} is of {credits(amount)} credits for {user_id}"
            return _unpaid(key, f"{said}, and it brought {credits(seen.brought)} for {owner}")
    return []


def _unpaid(key: str, detail: str) -> list[Violation]:
    return [Violation("unpaid", key, detail)]
