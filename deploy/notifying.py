"""What tells people things, put together: the list, the channels' senders, and what they send with."""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import Address
from email.utils import parseaddr
from urllib.parse import urlsplit

from promptforge.actors.notifications import store as notifications
from promptforge.actors.notifications.actor import NotificationsActor, Outlet
from promptforge.actors.notifications.deliveries import store as deliveries
from promptforge.actors.notifications.deliveries.actor import DeliveriesActor
from promptforge.actors.notifications.deliveries.messages import SweepDeliveries
from promptforge.actors.notifications.mail import store as bounces
from promptforge.actors.notifications.mail.actor import MailActor
from promptforge.actors.notifications.mail.domain import address_of
from promptforge.actors.notifications.mail.links import Links
from promptforge.actors.notifications.mail.outlet import MailOutlet
from promptforge.actors.notifications.mail.sending import PLACES as MAIL_PLACES
from promptforge.actors.notifications.mail.sending import MailSendingActor
from promptforge.actors.notifications.mail.smtp import SmtpMailer, SmtpServer
from promptforge.actors.notifications.mail.writing import MailWriter, Sender
from promptforge.actors.notifications.preferences import store as preferences
from promptforge.actors.notifications.preferences.actor import PreferencesActor
from promptforge.actors.notifications.stream import store as tickets
from promptforge.actors.notifications.stream.actor import StreamActor
from promptforge.actors.notifications.webhooks import store as webhooks
from promptforge.actors.notifications.webhooks.actor import WebhooksActor
from promptforge.actors.notifications.webhooks.gate import PLACES
from promptforge.actors.notifications.webhooks.outlet import WebhookOutlet
from promptforge.actors.notifications.webhooks.sending import WebhookSendingActor
from promptforge.core.egress import Outward, UrlPolicy
from promptforge.core.errors import ConfigurationError
from promptforge.core.jobs import Queue, Schedule, Sealer
from promptforge.core.mongo import Change, ChangeFeed, Index, Mongo
from promptforge.core.personal import Held
from promptforge.core.runtime import Actor
from promptforge.deploy.settings import Settings
from promptforge.http.bells import Bells

INDEXES: dict[str, tuple[Index, ...]] = {
    **notifications.INDEXES,
    **preferences.INDEXES,
    **deliveries.INDEXES,
    **webhooks.INDEXES,
    **tickets.INDEXES,
    **bounces.INDEXES,
}
ACTOR_TYPES: tuple[type[Actor], ...] = (
    NotificationsActor,
    DeliveriesActor,
    PreferencesActor,
    MailActor,
    MailSendingActor,
    StreamActor,
    WebhooksActor,
    WebhookSendingActor,
)
SCHEDULES = (Schedule("sweep-deliveries", "3-53/10 * * * *", lambda _: SweepDeliveries()),)
QUEUES = (Queue("webhooks", concurrency=PLACES, fair=True), Queue("mail", concurrency=MAIL_PLACES))
HELD: dict[str, Held] = {
    **notifications.HELD,
    **preferences.HELD,
    **deliveries.HELD,
    **webhooks.HELD,
    **tickets.HELD,
    **bounces.HELD,
}


def build_actors(mongo: Mongo, settings: Settings, secrets: Sequence[str], *, base_url: str) -> list[Actor]:
    """`secrets`: the roots of keys; without them no webhook can be made and no mail be sent."""
    told, chosen = notifications.NotificationStore(mongo), preferences.PreferenceStore(mongo)
    sent, receivers = deliveries.DeliveryStore(mongo), webhooks.WebhookStore(mongo)
    sealer = Sealer(secrets, purpose=b"promptforge webhooks v1")
    policy = UrlPolicy(frozenset(host.lower() for host in settings.webhook_local_hosts))
    returned, links = bounces.BounceStore(mongo), Links(secrets)
    server, sender = mail_of(settings, base_url)
    outlets: list[Outlet] = [WebhookOutlet(receivers, sent)]
    if server is not None:
        outlets.append(MailOutlet(sent))
    return [
        NotificationsActor(told, chosen, outlets),
        DeliveriesActor(sent),
        PreferencesActor(chosen, returned, mail=server is not None),
        MailActor(sent, chosen, returned, links),
        MailSendingActor(
            sent,
            told,
            chosen,
            returned,
            mailer=SmtpMailer(server) if server is not None else None,
            writer=MailWriter(sender, links),
            sender=sender.address.addr_spec,
        ),
        StreamActor(told, tickets.TicketStore(mongo)),
        WebhooksActor(receivers, sent, sealer, policy=policy),
        WebhookSendingActor(receivers, sent, told, chosen, sealer=sealer, outward=Outward(policy)),
    ]


def mail_of(settings: Settings, base_url: str) -> tuple[SmtpServer | None, Sender]:
    """The server, where there is one, and whom mails are from. Raises `ConfigurationError`."""
    server = SmtpServer.from_url(settings.smtp_url.get_secret_value()) if settings.smtp_url is not None else None
    host = urlsplit(base_url).hostname or "localhost"
    name, email = parseaddr(settings.mail_from or f"PromptForge <no-reply@{host}>")
    address = address_of(email, name)
    if address is None:
        if server is not None and (settings.mail_from is not None or settings.production):
            raise ConfigurationError("SMTP_URL is set: say with MAIL_FROM whom mails are from: Name <who@example.com>")
        address = Address("PromptForge", "no-reply", "localhost")
    return server, Sender(address, base_url)


def bells_of(feed: ChangeFeed) -> Bells:
    """Rung when somebody is told something, in whichever process that is."""
    bells = Bells()

    def told(change: Change) -> None:
        if change.document is not None:
            bells.ring(change.document["user_id"])

    feed.subscribe(notifications.NOTIFICATIONS, told, only={"operationType": "insert"})
    feed.on_gap(bells.ring_all)
    return bells
