"""Deleting one's account: what one can ask for, and what the service then does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from promptforge.actors.users.messages import UserId
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires


class DeletionState(StrEnum):
    """`scheduled` can be cancelled; from `closing` on the account is closed, and nothing brings it back."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"
    CLOSING = "closing"
    ERASED = "erased"
    DONE = "done"
    """All is erased but what is kept for some time, to find who leaves in order to come back."""
    FORGOTTEN = "forgotten"
    """That time is over too."""


class Obstacle(StrEnum):
    """What an account cannot be deleted with."""

    DEBT = "debt"
    """Credits are owed."""
    RESERVED = "reserved_credits"
    """Credits are set aside for something that has not ended."""
    PAYOUT = "open_payout"
    DISPUTE = "open_dispute"
    PAYMENT = "payment_under_way"
    """Money for credits is under way, or (when the account is to be closed) a page waits on which it may be sent."""
    SUBSCRIPTION = "subscription"
    """It would go on being paid: cancel it first."""
    CREDITS_LEFT = "credits_left"
    """They would be lost: spend them, have them paid out, or say `give_up_credits`."""
    SHARED_PROJECTS = "shared_projects"
    """Others would be left without an owner: make one of them an owner."""
    LAST_ADMINISTRATOR = "last_administrator"
    """Nobody would be left to run the service: make somebody else an administrator."""


@dataclass(frozen=True, slots=True)
class DeletionView:
    """`due_at` is when the account is closed. `obstacles` kept it from that when it was due; it is tried again."""

    state: DeletionState
    requested_at: datetime
    due_at: datetime
    give_up_credits: bool
    obstacles: tuple[Obstacle, ...]


@requires(fresh=True, while_suspended=True)
class RequestDeletion(Command[DeletionView]):
    """Delete your account, after some days in which you can take that back.

    Until then everything goes on. Then what you sell leaves the market, buyers keep what they bought, and everything
    that tells of you is removed, but for what the law has us keep (docs/accounts.md). 409 `deletion_blocked` names what
    has to end first: `debt`, `reserved_credits`, `open_payout`, `open_dispute`, `subscription`, `shared_projects`,
    `last_administrator`, and `credits_left` without `give_up_credits`. Asked again, nothing changes but that.
    """

    give_up_credits: bool = False


@requires()
class GetDeletion(Query[DeletionView]):
    """Read when your account will be deleted. 404 where you have not asked for that."""


@requires(fresh=True, while_suspended=True)
class CancelDeletion(Command[DeletionView]):
    """Keep your account after all; 409 `nothing_to_cancel` where no deletion waits."""


@internal
@job(timeout_seconds=300)
class CloseDueAccounts(Command[int]):
    """Begin the deletions that are due, and go on with those that were left; answers how many there were."""


@internal
@job(timeout_seconds=3600, max_attempts=100, keep_dead=None)
class DeleteAccount(Command[None]):
    """Close an account whose deletion is due, and erase what tells of its owner.

    Every step may be done again, so it goes on wherever it was left. What writers that were under way have written
    since is removed by a second look, a day later.
    """

    user_id: UserId
