"""What keeps an account from being deleted, and how far a deletion has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from promptforge.actors.accounts.messages import DeletionState, DeletionView, Obstacle
from promptforge.actors.billing.obligations.messages import Obligations

AGAIN = timedelta(days=1)
"""After which a deletion that was due and could not be is tried again."""
SETTLED = timedelta(minutes=5)
"""After a closing every transaction that began before it has ended (MongoDB ends them after a minute): what was bought
by then is known, and stays with its buyers.
"""
SECOND_LOOK = timedelta(hours=25)
"""Replies for repeated requests are kept for a day, and no request or job runs for as long."""
LINKS_KEPT = timedelta(days=730)
"""For how long cards and bank accounts of who has left are known again (docs/accounts.md)."""
TERMS_LOOKED_AT = timedelta(days=90)
"""How often it is looked whether what is kept of who has left for a term may go."""
WORDS = {
    Obstacle.DEBT: "you owe credits",
    Obstacle.RESERVED: "credits are set aside for something that has not ended",
    Obstacle.PAYOUT: "a payout is under way",
    Obstacle.DISPUTE: "a payment is disputed",
    Obstacle.PAYMENT: "a payment is under way",
    Obstacle.SUBSCRIPTION: "a subscription goes on",
    Obstacle.CREDITS_LEFT: "credits would be lost",
    Obstacle.SHARED_PROJECTS: "projects would be left without an owner",
    Obstacle.LAST_ADMINISTRATOR: "no administrator would be left who is neither suspended nor leaving (make somebody "
    "one first: PUT /api/v1/ops/users/{id}/roles, or `promptforge roles set`)",
}


@dataclass(frozen=True, slots=True)
class Deletion:
    """As stored. `uid` is kept until the account is disabled where people sign in.

    `erased_at`: when all was erased, from which on what is kept for some years is.
    """

    user_id: str
    state: DeletionState
    requested_at: datetime
    due_at: datetime
    give_up_credits: bool
    obstacles: tuple[Obstacle, ...] = ()
    uid: str | None = None
    erased_at: datetime | None = None

    def view(self) -> DeletionView:
        return DeletionView(self.state, self.requested_at, self.due_at, self.give_up_credits, self.obstacles)


def obstacles(
    owed: Obligations, *, shared_projects: bool, last_administrator: bool, give_up_credits: bool, closing: bool
) -> tuple[Obstacle, ...]:
    """In one order. A page on which nobody has paid matters only where the account would be closed before it passes."""
    there = {
        Obstacle.DEBT: owed.debt,
        Obstacle.RESERVED: owed.reserved,
        Obstacle.PAYOUT: owed.payout,
        Obstacle.DISPUTE: owed.dispute,
        Obstacle.PAYMENT: owed.payment or (closing and owed.page),
        Obstacle.SUBSCRIPTION: owed.subscription,
        Obstacle.CREDITS_LEFT: owed.left > 0 and not give_up_credits,
        Obstacle.SHARED_PROJECTS: shared_projects,
        Obstacle.LAST_ADMINISTRATOR: last_administrator,
    }
    return tuple(obstacle for obstacle, stands in there.items() if stands)


def in_words(found: Iterable[Obstacle]) -> str:
    """For a problem's detail or a notification."""
    return "; ".join(WORDS[obstacle] for obstacle in found)
