"""Who may not judge a case, whatever their role: those who have something to win or lose by it."""

from __future__ import annotations

from promptforge.actors.billing.messages import AreAccountsLinked
from promptforge.actors.marketplace.purchases.messages import HasBought
from promptforge.actors.moderation.domain import APPEALABLE
from promptforge.actors.moderation.errors import InterestedParty, OwnCase, OwnDecision
from promptforge.actors.moderation.history import DecisionLog
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.moderation.store import CaseStore
from promptforge.core.context import Context


async def refuse_interested(case: CaseView, store: CaseStore, history: DecisionLog, tx: Context) -> None:
    """Looked at when a case is claimed and again when it is decided, in that transaction: one can buy in between.

    Raises `OwnCase`, `InterestedParty` or `OwnDecision`.
    """
    if tx.user_id == case.seller_id or await tx.ask(AreAccountsLinked(one=tx.user_id, other=case.seller_id)):
        raise OwnCase
    if await tx.ask(HasBought(user_id=tx.user_id, listing_id=case.listing_id)):
        raise InterestedParty("You have bought this listing, so somebody else decides about it")
    if tx.user_id in await store.list_bringers(case.id, session=tx.session):
        raise InterestedParty("You brought this up yourself, so somebody else decides about it")
    if case.kind is CaseKind.APPEAL and await appealed_decision_by(case, history, tx) == tx.user_id:
        raise OwnDecision
    if case.kind is CaseKind.REFUND_APPEAL and await store.find_refuser(case, session=tx.session) == tx.user_id:
        raise OwnDecision


async def appealed_decision_by(case: CaseView, history: DecisionLog, tx: Context) -> str | None:
    """Who decided what the appeal is against: the last decision that can be appealed."""
    decisions = await history.list_of(case.listing_id, session=tx.session)
    return next((one.decided_by for one in decisions if one.decision in APPEALABLE), None)
