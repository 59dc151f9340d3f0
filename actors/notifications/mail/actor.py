"""Unsubscribing by a link, and addresses that bounced."""

from __future__ import annotations

from promptforge.actors.notifications.deliveries.domain import MAIL
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.mail.bounces import told_of_bounce
from promptforge.actors.notifications.mail.domain import address_of
from promptforge.actors.notifications.mail.links import Links, Subscription
from promptforge.actors.notifications.mail.messages import (
    EnableEmail,
    ExpectMailLink,
    GetMailSubscription,
    ReportBounce,
    SubscriptionKindView,
    Unsubscribe,
)
from promptforge.actors.notifications.mail.store import Bounce, BounceStore
from promptforge.actors.notifications.preferences.domain import carries
from promptforge.actors.notifications.preferences.messages import (
    Channel,
    ChannelChoice,
    ChooseChannels,
    EmailChannelView,
    GetChannels,
)
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.users.messages import GetContact
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import Actor, handles


class MailActor(Actor):
    name = "mail"
    asks = ("users", "notification_preferences")

    def __init__(
        self, deliveries: DeliveryStore, preferences: PreferenceStore, bounces: BounceStore, links: Links
    ) -> None:
        self._deliveries = deliveries
        self._preferences = preferences
        self._bounces = bounces
        self._links = links

    @handles(ExpectMailLink)
    async def expect_link(self, message: ExpectMailLink, context: Context) -> None:
        self._read(message.token)

    @handles(GetMailSubscription)
    async def get_subscription(self, message: GetMailSubscription, context: Context) -> SubscriptionKindView:
        subscription = self._read(message.token)
        kind = kind_of(subscription.kind)
        chosen = await self._preferences.chosen_by(subscription.user_id)
        return SubscriptionKindView(kind.name, kind.title, carries(Channel.EMAIL, kind, chosen))

    @handles(Unsubscribe)
    async def unsubscribe(self, message: Unsubscribe, context: Context) -> SubscriptionKindView:
        """A link of a kind that is no more stays a good link, with nothing to turn off."""
        subscription = self._read(message.token)
        kind = kind_of(subscription.kind)
        if kind.known:
            choices = {kind.name: ChannelChoice(email=False)}
            await context.ask(ChooseChannels(user_id=subscription.user_id, choices=choices))
        return SubscriptionKindView(kind.name, kind.title, subscribed=False)

    def _read(self, token: str) -> Subscription:
        subscription = self._links.read(token)
        if subscription is None:
            raise NotFound("This is no unsubscribe link of ours, or it was cut short")
        return subscription

    @handles(EnableEmail, transactional=True)
    async def enable(self, message: EnableEmail, context: Context) -> EmailChannelView:
        async def work(tx: Context) -> EmailChannelView:
            await self._bounces.forget(tx.user_id, session=tx.session)
            return (await tx.ask(GetChannels(user_id=tx.user_id))).email

        return await context.transaction(work)

    @handles(ReportBounce, transactional=True)
    async def report_bounce(self, message: ReportBounce, context: Context) -> None:
        async def work(tx: Context) -> None:
            delivery = await self._deliveries.find_of(message.delivery_id, MAIL, session=tx.session)
            contact = await tx.ask(GetContact(user_id=delivery.user_id)) if delivery is not None else None
            to = address_of(contact.email, None) if contact is not None else None
            if delivery is None or to is None:
                raise NotFound("There is no such mail")
            if delivery.sent_to not in (None, to.addr_spec):
                return  # what came back was sent to an address that they have left
            bounce = Bounce(to.addr_spec, message.reason)
            await self._bounces.note(delivery.user_id, bounce, now=tx.now(), session=tx.session)
            await tx.enqueue(told_of_bounce(delivery, bounce), owner_id=delivery.user_id)
            await tx.audit("email.bounced", delivery.user_id, after={"delivery_id": delivery.id})

        await context.transaction(work)
