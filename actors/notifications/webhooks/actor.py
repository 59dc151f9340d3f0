"""Keeps people's webhooks, and shows what was sent to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import MISSING

from promptforge.actors.jobs.messages import FindEndedJobs
from promptforge.actors.notifications.deliveries.domain import Delivery
from promptforge.actors.notifications.deliveries.store import DeliveryStore, delivery_from
from promptforge.actors.notifications.kinds import KINDS
from promptforge.actors.notifications.messages import DropAppWebhooks
from promptforge.actors.notifications.webhooks.domain import (
    OLD_SECRET_LASTS,
    TEST_KIND,
    Webhook,
    delivery_view,
    new_secret,
)
from promptforge.actors.notifications.webhooks.errors import DeliveryPending, WebhookDisabled
from promptforge.actors.notifications.webhooks.messages import (
    CreateWebhook,
    DeleteWebhook,
    DeliveryView,
    DisableWebhook,
    EnableWebhook,
    GetWebhook,
    GetWebhookDelivery,
    ListWebhookDeliveries,
    ListWebhooks,
    RedeliverWebhook,
    RotateWebhookSecret,
    SendWebhook,
    TestWebhook,
    UpdateWebhook,
    WebhookSecretView,
    WebhookState,
    WebhooksView,
    WebhookView,
)
from promptforge.actors.notifications.webhooks.store import WebhookStore, Whose
from promptforge.actors.partnerships.apps.messages import APP_ID_PREFIX, FindAppStanding
from promptforge.core.context import Context
from promptforge.core.egress import UrlPolicy, UrlRefused
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.jobs import Sealer
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.runtime import Actor, handles


class WebhooksActor(Actor):
    """`policy` says which addresses may be named. Secrets are sealed at rest."""

    name = "webhooks"
    asks = ("jobs", "partner_apps")

    def __init__(self, webhooks: WebhookStore, deliveries: DeliveryStore, sealer: Sealer, *, policy: UrlPolicy) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._sealer = sealer
        self._policy = policy

    @handles(CreateWebhook, transactional=True)
    async def create(self, message: CreateWebhook, context: Context) -> WebhookSecretView:
        _check_kinds(message.kinds)
        url = self._checked(message.url)
        secret, now = new_secret(), context.now()
        app_id = _app_of(message, context)
        webhook = Webhook(
            id=new_id("whk"),
            user_id=context.user_id,
            url=url,
            description=message.description,
            kinds=message.kinds,
            state=WebhookState.ENABLED,
            reason=None,
            secret=self._sealer.seal(secret.encode()),
            old_secret=None,
            old_secret_until=None,
            failing_since=None,
            delivered_at=None,
            created_at=now,
            updated_at=now,
            app_id=app_id,
        )

        async def work(tx: Context) -> None:
            if tx.session is None:
                raise RuntimeError("this is the work of a transaction")
            generation = await _generation_of(app_id, tx)
            await self._webhooks.insert(replace(webhook, app_generation=generation), session=tx.session)

        await context.transaction(work)
        return WebhookSecretView(webhook.id, webhook.view(), secret)

    def _checked(self, url: str) -> str:
        try:
            return self._policy.checked(url)
        except UrlRefused as error:
            wrong = FieldError(f"This address cannot be called: {error}", "url_refused", pointer="/url")
            raise Invalid("The address cannot be called", errors=(wrong,)) from None

    @handles(ListWebhooks)
    async def list_webhooks(self, message: ListWebhooks, context: Context) -> WebhooksView:
        return WebhooksView(tuple(one.view() for one in await self._webhooks.list_of(_whose(context))))

    @handles(GetWebhook, transactional=True)
    async def get(self, message: GetWebhook, context: Context) -> WebhookView:
        return (await self._webhooks.get(message.webhook_id, _whose(context), session=context.session)).view()

    @handles(UpdateWebhook, transactional=True)
    async def update(self, message: UpdateWebhook, context: Context) -> WebhookView:
        changes: dict[str, object] = {"updated_at": context.now()}
        if message.kinds is not MISSING:
            _check_kinds(message.kinds)
            changes["kinds"] = list(message.kinds)
        if message.url is not MISSING:
            changes |= {"url": self._checked(message.url), "failing_since": None}
        if message.description is not MISSING:
            changes["description"] = message.description
        return await self._change(message.webhook_id, changes, context)

    async def _change(self, webhook_id: str, changes: Mapping[str, object], context: Context) -> WebhookView:
        return (await self._webhooks.update(webhook_id, _whose(context), changes, session=context.session)).view()

    @handles(DeleteWebhook, transactional=True)
    async def delete(self, message: DeleteWebhook, context: Context) -> None:
        await self._webhooks.delete(message.webhook_id, _whose(context), session=context.session)

    @handles(RotateWebhookSecret, transactional=True)
    async def rotate(self, message: RotateWebhookSecret, context: Context) -> WebhookSecretView:
        secret, now = new_secret(), context.now()
        sealed = self._sealer.seal(secret.encode())

        async def work(tx: Context) -> WebhookView:
            before = await self._webhooks.get(message.webhook_id, _whose(tx), session=tx.session)
            changes: dict[str, object] = {
                "secret": sealed,
                "old_secret": before.secret,
                "old_secret_until": now + OLD_SECRET_LASTS,
                "updated_at": now,
            }
            return await self._change(message.webhook_id, changes, tx)

        return WebhookSecretView(message.webhook_id, await context.transaction(work), secret)

    @handles(DisableWebhook, transactional=True)
    async def disable(self, message: DisableWebhook, context: Context) -> WebhookView:
        changes = {"state": WebhookState.DISABLED.value, "reason": "owner", "updated_at": context.now()}
        return await self._change(message.webhook_id, changes, context)

    @handles(EnableWebhook, transactional=True)
    async def enable(self, message: EnableWebhook, context: Context) -> WebhookView:
        changes = {
            "state": WebhookState.ENABLED.value,
            "reason": None,
            "failing_since": None,
            "updated_at": context.now(),
        }
        return await self._change(message.webhook_id, changes, context)

    @handles(DropAppWebhooks, atomic=True)
    async def drop(self, message: DropAppWebhooks, context: Context) -> int:
        whose = Whose(message.owner_id, message.app_id)
        return await self._webhooks.delete_of_app(whose, before=message.before, session=context.session)

    # Deliveries

    @handles(TestWebhook, transactional=True)
    async def test(self, message: TestWebhook, context: Context) -> DeliveryView:
        async def work(tx: Context) -> DeliveryView:
            webhook = await self._enabled(message.webhook_id, tx)
            before = webhook.test_id and await self._deliveries.find_of(webhook.test_id, webhook.id, session=tx.session)
            if before and before.pending:
                raise DeliveryPending("The test before is still on its way")
            made = await self._deliveries.record(
                None, webhook.id, user_id=tx.user_id, kind=TEST_KIND, now=tx.now(), session=tx.session
            )
            await self._change(webhook.id, {"test_id": made.id}, tx)  # two tests at once write the same
            send = SendWebhook(delivery_id=made.id, webhook_id=webhook.id)
            await tx.enqueue(send, owner_id=webhook.id, job_id=made.job_id)
            return delivery_view(await self._delivery(webhook.id, made.id, tx))

        return await context.transaction(work)

    @handles(ListWebhookDeliveries)
    async def list_deliveries(self, message: ListWebhookDeliveries, context: Context) -> Page[DeliveryView]:
        webhook = await self._webhooks.get(message.webhook_id, _whose(context))
        cursor = Cursor.decode_optional(message.cursor)
        rows = await self._deliveries.list_of(webhook.id, state=message.state, cursor=cursor, limit=message.limit)
        return page_of(rows, message.limit, lambda row: delivery_view(delivery_from(row)))

    @handles(GetWebhookDelivery, transactional=True)
    async def get_delivery(self, message: GetWebhookDelivery, context: Context) -> DeliveryView:
        webhook = await self._webhooks.get(message.webhook_id, _whose(context), session=context.session)
        return delivery_view(await self._delivery(webhook.id, message.delivery_id, context))

    @handles(RedeliverWebhook, transactional=True)
    async def redeliver(self, message: RedeliverWebhook, context: Context) -> DeliveryView:
        async def work(tx: Context) -> DeliveryView:
            webhook = await self._enabled(message.webhook_id, tx)
            delivery = await self._delivery(webhook.id, message.delivery_id, tx)
            known, job_id = delivery.job_id, new_id("job")
            gone = known is None or bool(await tx.ask(FindEndedJobs(job_ids=(known,))))
            again = await self._deliveries.begin_again(delivery, job_id, gone=gone, now=tx.now(), session=tx.session)
            if again is None:
                raise DeliveryPending
            await tx.enqueue(
                SendWebhook(delivery_id=again.id, webhook_id=webhook.id), owner_id=webhook.id, job_id=job_id
            )
            return delivery_view(again)

        return await context.transaction(work)

    async def _enabled(self, webhook_id: str, tx: Context) -> Webhook:
        webhook = await self._webhooks.get(webhook_id, _whose(tx), session=tx.session)
        if not webhook.enabled:
            raise WebhookDisabled
        return webhook

    async def _delivery(self, webhook_id: str, delivery_id: str, context: Context) -> Delivery:
        delivery = await self._deliveries.find_of(delivery_id, webhook_id, session=context.session)
        if delivery is None:
            raise NotFound("There is no such delivery of this webhook")
        return delivery


def _check_kinds(kinds: tuple[str, ...]) -> None:
    """Raises `Invalid`."""
    unknown = tuple(
        FieldError(f"There is no kind {kind!r}; /users/me/settings lists them", "unknown_kind", pointer=f"/kinds/{n}")
        for n, kind in enumerate(kinds)
        if kind not in KINDS
    )
    if unknown:
        raise Invalid("Some kinds do not exist", errors=unknown)


def _calling_app(context: Context) -> str | None:
    key_id = None if context.principal is None else context.principal.key_id
    return key_id if key_id is not None and key_id.startswith(APP_ID_PREFIX) else None


def _whose(context: Context) -> Whose:
    """An app could otherwise turn to itself, or silence, what its owner and their other apps are told."""
    return Whose(context.user_id, _calling_app(context))


def _app_of(message: CreateWebhook, context: Context) -> str | None:
    """What an app makes is its own, and of no other app. Raises `Invalid`."""
    app_id = _calling_app(context)
    if app_id is not None and message.app_id not in {None, app_id}:
        raise _not_active()
    return app_id or message.app_id


async def _generation_of(app_id: str | None, tx: Context) -> int:
    """Of the app that a webhook is tied to. Raises `Invalid`, also where the caller's token is of a leaked secret."""
    if app_id is None:
        return 0
    app = await tx.ask(FindAppStanding(app_id=app_id, owner_id=tx.user_id))
    principal = tx.principal
    mine = principal is not None and principal.key_id == app_id
    if app is None or (mine and principal is not None and principal.key_generation != app.generation):
        raise _not_active()
    return app.generation


def _not_active() -> Invalid:
    wrong = FieldError("There is no such app of yours, or it may not act now", "app_not_active", pointer="/app_id")
    return Invalid("The app cannot have webhooks", errors=(wrong,))
