"""The features of this process: their actors, and the indexes their stores declare."""

from __future__ import annotations

from promptforge.actors.billing import BillingActor
from promptforge.actors.jobs import JobsActor
from promptforge.actors.marketplace import MarketplaceActor
from promptforge.actors.moderation import ModerationActor
from promptforge.actors.notifications import NotificationsActor
from promptforge.actors.operations import OperationsActor
from promptforge.actors.prompts import PromptsActor
from promptforge.actors.users import UsersActor
from promptforge.core.runtime import Actor

ACTOR_TYPES: tuple[type[Actor], ...] = (
    UsersActor,
    BillingActor,
    PromptsActor,
    NotificationsActor,
    MarketplaceActor,
    ModerationActor,
    JobsActor,
    OperationsActor,
)
