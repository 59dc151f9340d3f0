"""Appeals against what was taken from somebody: whether there is one to decide, and what its decision does."""

from __future__ import annotations

from promptforge.actors.marketplace.purchases.messages import DecideSaleAppeal, IsSaleAppealed
from promptforge.actors.marketplace.reviews.messages import DecideRemovalAppeal, DecideReplyAppeal
from promptforge.actors.marketplace.sealed.messages import DecideRunsAppeal, IsRunsAppealed
from promptforge.actors.moderation.domain import GRANTED
from promptforge.actors.moderation.messages import CaseKind, CaseView, DecideCase
from promptforge.actors.moderation.notices import why
from promptforge.actors.moderation.reasons import REASONS, REPLIERS_NEXT, SELLERS_NEXT
from promptforge.core.context import Context


async def is_waiting(case: CaseView, tx: Context) -> bool:
    """Of an appeal against a refund or stopped runs; of what was removed the review itself says it."""
    if case.kind is CaseKind.SALE_APPEAL and case.purchase_id is not None:
        return await tx.ask(IsSaleAppealed(purchase_id=case.purchase_id))
    if case.kind is CaseKind.EXTRACTION_APPEAL and case.against is not None:
        return await tx.ask(IsRunsAppealed(case_id=case.against))
    return True


async def carry_out(case: CaseView, message: DecideCase, tx: Context) -> None:
    """Granted or upheld, with the reason and the note of the appeal."""
    granted, code, note = message.decision in GRANTED, message.reason_code, message.public_note
    explanation = "\n\n".join(why(code, note))
    if case.kind is CaseKind.REVIEW_APPEAL and case.subject is not None:
        await tx.ask(
            DecideRemovalAppeal(
                review_id=case.subject,
                case_id=case.id,
                granted=granted,
                reason_code=code,
                public_note=note,
                explanation=explanation,
            )
        )
    elif case.kind is CaseKind.REPLY_APPEAL and case.subject is not None:
        await tx.ask(
            DecideReplyAppeal(
                review_id=case.subject,
                case_id=case.id,
                granted=granted,
                reason_code=code,
                public_note=note,
                explanation="\n\n".join(why(code, note, REPLIERS_NEXT)),
            )
        )
    elif case.kind is CaseKind.SALE_APPEAL and case.purchase_id is not None:
        await tx.ask(
            DecideSaleAppeal(
                purchase_id=case.purchase_id,
                case_id=case.id,
                granted=granted,
                reason_code=code,
                public_note=note,
                words=REASONS[code].words,
                explanation="\n\n".join(why(code, note, SELLERS_NEXT)),
            )
        )
    elif case.kind is CaseKind.EXTRACTION_APPEAL and case.against is not None:
        await tx.ask(
            DecideRunsAppeal(
                case_id=case.against,
                appeal_id=case.id,
                granted=granted,
                reason_code=code,
                public_note=note,
                explanation=explanation,
            )
        )
