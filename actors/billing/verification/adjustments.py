"""Every write-off and every large grant is what two operators agreed on, and what they agreed on was carried out."""

from __future__ import annotations

from promptforge.actors.billing.ledger.adjustments.audit import JOURNAL_KINDS
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import is_amount
from promptforge.actors.billing.ledger.messages import AdjustmentKind
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.actors.billing.verification.ways import Whose
from promptforge.core.mongo import Document


async def verify_adjustments(audit: LedgerAudit, findings: Findings) -> None:
    for kind in JOURNAL_KINDS:
        approved, journals = audit.adjustments.approved(kind), audit.adjustments.journals(kind)
        async for key in keys_of(approved, journals):
            if _fault_of(await approved.take(key), await journals.take(key)) is not None:
                findings.add(await _confirm_adjustment(audit, kind, key))


async def _confirm_adjustment(audit: LedgerAudit, kind: AdjustmentKind, adjustment_id: str) -> list[Violation]:
    fault = _fault_of(*await audit.adjustments.adjustment(kind, adjustment_id))
    return [] if fault is None else [Violation("adjustment", adjustment_id, f"{kind}: {fault}")]


def _fault_of(adjustment: Document | None, journal: Document | None) -> str | None:
    if adjustment is None or journal is None:
        if adjustment is journal:
            return None
        return "it was carried out, and nobody has approved it" if adjustment is None else "it was approved, and is not"
    if adjustment["decided_by"] in {adjustment["requested_by"], adjustment["user_id"]}:
        return f"{adjustment['decided_by']} approved it, who had asked for it or gets it"
    owner, amount = Whose.OWNER.of(journal), sum(_amounts_of(journal))
    if (owner, amount) == (adjustment["user_id"], adjustment["amount"]):
        return None
    agreed = f"{credits(adjustment['amount'])} credits of {adjustment['user_id']}"
    return f"{agreed} were agreed on, and it was {credits(amount)} of {owner}"


def _amounts_of(journal: Document) -> list[int]:
    """What comes to somebody; amounts that no leg can have are reported with their journal."""
    return [leg["amount"] for leg in journal["legs"] if leg["user_id"] is not None and is_amount(leg["amount"])]
