"""Sells subscriptions. The credits of each month come with its paid invoice (`events/subscriptions.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from promptforge.actors.billing.beginning import KEY_LIVES, begun_or_id
from promptforge.actors.billing.customers.making import Customers
from promptforge.actors.billing.errors import (
    AlreadySubscribed,
    CustomerGone,
    NotSubscribed,
    StripeRefused,
    StripeUnavailable,
    UnknownAtStripe,
)
from promptforge.actors.billing.packs import CreditPack, packs_by_id
from promptforge.actors.billing.stripe.sessions import SessionRequest
from promptforge.actors.billing.stripe.subscriptions import StripeSubscriptions
from promptforge.actors.billing.subscriptions.domain import DEFAULT_PLANS, GOING_ON, Subscription, begin
from promptforge.actors.billing.subscriptions.messages import (
    CancelSubscription,
    CreateSubscription,
    GetSubscription,
    ListPlans,
    ListSubscriptions,
    OpenBillingPortal,
    PlansView,
    PortalView,
    SubscriptionState,
    SubscriptionView,
)
from promptforge.actors.billing.subscriptions.store import SubscriptionStore
from promptforge.actors.billing.terms import Waiver, accept
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

TRIES = 5
"""Of two plans' pages that are asked for at once, one is begun first."""


class SubscriptionsActor(Actor):
    """It waits for Stripe, so it has workers of its own."""

    name = "subscriptions"
    workers = 32

    def __init__(
        self,
        store: SubscriptionStore,
        customers: Customers,
        stripe: StripeSubscriptions,
        *,
        plans: Sequence[CreditPack] = DEFAULT_PLANS,
    ) -> None:
        self._store = store
        self._customers = customers
        self._stripe = stripe
        self._plans = packs_by_id(plans)

    @handles(ListPlans)
    async def list_plans(self, message: ListPlans, context: Context) -> PlansView:
        return PlansView(tuple(plan.view() for plan in self._plans.values()))

    @handles(CreateSubscription)
    async def create(self, message: CreateSubscription, context: Context) -> SubscriptionView:
        plan = self._plans.get(message.plan_id)
        if plan is None:
            raise NotFound("There is no such plan")
        waiver = accept(message.withdrawal_waiver, now=context.now())
        for _ in range(TRIES):
            subscription = await self._begin(plan, waiver, context)
            if subscription.state is not SubscriptionState.CREATING:
                return subscription.view()
            try:
                page = await self._stripe.make_page(_request(subscription))
            except CustomerGone:
                await self._store.give_up(subscription.id)
                await self._customers.forget(context, subscription.customer_id)
                continue
            except (StripeRefused, UnknownAtStripe):
                await self._store.give_up(subscription.id)
                raise
            return (await self._store.open(subscription.id, page)).view()
        raise StripeRefused("The payment provider does not know you; try again")

    async def _begin(self, plan: CreditPack, waiver: Waiver, context: Context) -> Subscription:
        customer_id = await self._customers.of(context)
        for _ in range(TRIES):
            since = context.now() - KEY_LIVES
            begun = await begun_or_id(
                context,
                "sbs",
                find=self._store.find,
                find_unfinished=partial(self._store.find_unfinished, context.user_id, plan, since=since),
            )
            if isinstance(begun, Subscription):
                return begun
            await self._make_room(context)
            subscription = begin(begun, plan, waiver, user_id=context.user_id, customer_id=customer_id)
            if await self._store.insert(subscription):
                return subscription
        raise StripeUnavailable("Another request of yours is under way", retry_after_seconds=1)

    async def _make_room(self, context: Context) -> None:
        """One page at a time: of another plan's, which could still be paid, Stripe is told that it passes.

        Raises `AlreadySubscribed`, also where that page was paid and its event has not come yet.
        """
        if await self._store.find_going_on(context.user_id) is not None:
            raise AlreadySubscribed
        earlier = await self._store.find_in_slot(context.user_id)
        if earlier is None:
            return
        session_id = earlier.session_id
        if session_id is None and earlier.created_at > context.now() - KEY_LIVES:  # an older page has passed by itself
            session_id = await self._page_of(earlier)
        if session_id is not None and not await self._stripe.end_page(session_id):
            raise AlreadySubscribed("You have paid for a subscription, and Stripe's news of it is still to come")
        await self._store.mark_expired(earlier.id, session_id)

    async def _page_of(self, subscription: Subscription) -> str | None:
        """Whether there is a page is not known: its key tells."""
        try:
            return (await self._stripe.make_page(_request(subscription))).id
        except (StripeRefused, UnknownAtStripe):
            return None

    @handles(ListSubscriptions)
    async def list_own(self, message: ListSubscriptions, context: Context) -> Page[SubscriptionView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._store.list_page(context.user_id, cursor, message.limit)
        return Page(tuple(subscription.view() for subscription in page.items), page.next)

    @handles(GetSubscription)
    async def get(self, message: GetSubscription, context: Context) -> SubscriptionView:
        return (await self._store.get_own(message.subscription_id, context.user_id)).view()

    @handles(CancelSubscription, key="subscription_id")
    async def cancel(self, message: CancelSubscription, context: Context) -> SubscriptionView:
        subscription = await self._store.get_own(message.subscription_id, context.user_id)
        if subscription.state not in GOING_ON or subscription.stripe_id is None:
            raise NotSubscribed(f"The subscription is {subscription.state}")
        read_at = context.now()
        told = await self._stripe.end_with_period(subscription.stripe_id)
        await self._store.advance(subscription.id, told, read_at=read_at)
        return (await self._store.get(subscription.id)).view()

    @handles(OpenBillingPortal)
    async def open_portal(self, message: OpenBillingPortal, context: Context) -> PortalView:
        customer_id = await self._customers.of(context)
        try:
            return PortalView(await self._stripe.portal(customer_id))
        except CustomerGone:
            await self._customers.forget(context, customer_id)
        return PortalView(await self._stripe.portal(await self._customers.of(context)))


def _request(subscription: Subscription) -> SessionRequest:
    return SessionRequest(
        checkout_id=subscription.id,
        idempotency_key=subscription.idempotency_key,
        title=f"{from_millicredits(subscription.plan.total)} PromptForge credits a month",
        amount=subscription.plan.price_minor_units,
        currency=subscription.plan.currency,
        customer_id=subscription.customer_id,
        expires_at=subscription.page_passes_at,
    )
