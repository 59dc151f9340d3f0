"""Who may not judge a case, whatever their role: those who have something to win or lose by it."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.marketplace.purchases.messages import HasBought
from promptforge.actors.marketplace.reports.messages import HasReported
from promptforge.actors.moderation.domain import REPORTED, answers_appeal
from promptforge.actors.moderation.errors import InterestedParty, OwnCase, OwnDecision
from promptforge.actors.moderation.history import DecisionLog
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.moderation.store import CaseStore
from promptforge.core.context import Context


@dataclass(frozen=True, slots=True)
class Records:
    """What is known of cases and of what was decided before."""

    store: CaseStore
    history: DecisionLog


async def refuse_interested(case: CaseView, listing: ListingView, records: Records, tx: Context) -> None:
    """Looked at when a case is claimed and again when it is decided, in that transaction: one can buy in between.

    Accounts that share a card or a bank are one person here. Raises `OwnCase`, `InterestedParty` or `OwnDecision`.
    """
    people = await tx.ask(GetAccountGroup(user_id=tx.user_id))
    if case.seller_id in people:
        raise OwnCase
    if await tx.ask(HasBought(user_ids=people, listing_id=case.listing_id)):
        raise InterestedParty("You, or an account that is linked to yours, bought this: somebody else decides about it")
    if await _brought_up(case, people, records, tx):
        raise InterestedParty("You, or an account that is linked to yours, brought this up: somebody else decides")
    if case.against is not None:
        if await records.store.find_decider(case.against, session=tx.session) in people:
            raise OwnDecision
        appealed_case = await records.store.get(case.against, now=tx.now(), session=tx.session)
        if await _brought_up(appealed_case, people, records, tx):
            raise InterestedParty(
                "You, or an account that is linked to yours, brought up what this is an appeal against"
            )
    if answers_appeal(case, listing):
        of_change = case.kind is CaseKind.PROPOSED_CHANGE
        appealed = await records.history.find_appealed(case.listing_id, of_change=of_change, session=tx.session)
        if appealed in people:
            raise OwnDecision
    if case.kind is CaseKind.REFUND_APPEAL and await records.store.find_refuser(case, session=tx.session) in people:
        raise OwnDecision


async def _brought_up(case: CaseView, people: tuple[str, ...], records: Records, tx: Context) -> bool:
    """Of many who reported the same the case keeps the first only; the others are asked for."""
    bringers = await records.store.list_bringers(case.id, session=tx.session)
    if set(people) & set(bringers):
        return True
    if case.kind not in REPORTED or case.times <= len(bringers):
        return False
    since = await records.store.find_decided_before(case, session=tx.session)
    return await tx.ask(HasReported(user_ids=people, listing_id=case.listing_id, review_id=case.subject, since=since))
