"""Email: sending, unsubscribing without a sign-in, addresses that bounced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Len

from promptforge.actors.notifications.preferences.messages import EmailChannelView
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.principal import Role
from promptforge.core.text import LINE

LinkToken = Annotated[str, Len(1, 400)]


@dataclass(frozen=True, slots=True)
class SubscriptionKindView:
    """What an unsubscribe link is about: mails of one kind to one person, who is not named."""

    kind: str
    title: str
    subscribed: bool


@internal
class ExpectMailLink(Query[None]):
    """Raises `NotFound` for an unsubscribe link that is not one of ours: its signature says so, and nothing is read."""

    token: LinkToken


@internal
class GetMailSubscription(Query[SubscriptionKindView]):
    """What an unsubscribe link is about. Raises `NotFound` for a link that is not one of ours."""

    token: LinkToken


@internal
class Unsubscribe(Command[SubscriptionKindView]):
    """Send no more mails of the kind that the link is about; a second time changes nothing. Raises `NotFound`.

    The link is what authorises it, so whoever serves it may send this.
    """

    token: LinkToken


@requires(scope="profile:write", while_suspended=True)
class EnableEmail(Command[EmailChannelView]):
    """Have notifications sent to your address again after it was found not to take mail."""


@requires(Role.OPERATOR)
class ReportBounce(Command[None]):
    """Tell that a mail came back for good: nothing more is sent to that address until its owner wants it.

    `delivery_id` is what the mail's Message-ID begins with.
    """

    delivery_id: Annotated[str, Len(1, 64)]
    reason: Annotated[str, Len(1, 200), LINE]


@internal
@job(queue="mail", timeout_seconds=90.0)
class SendMail(Command[None]):
    """Make one attempt at a mail."""

    delivery_id: Annotated[str, Len(1, 64)]
