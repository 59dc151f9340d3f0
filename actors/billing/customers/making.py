"""Makes the customer of a user at Stripe when something is first sold to them; everything after that is sold to it."""

from __future__ import annotations

from promptforge.actors.billing.customers.store import CustomerStore
from promptforge.actors.billing.errors import StripeRefused
from promptforge.actors.billing.stripe.customers import StripeCustomers
from promptforge.core.context import Context
from promptforge.core.ids import new_id


class Customers:
    def __init__(self, store: CustomerStore, stripe: StripeCustomers) -> None:
        self._store = store
        self._stripe = stripe

    async def of(self, context: Context) -> str:
        """Stripe's id of the caller's customer. Raises `StripeUnavailable` or `StripeRefused` where there is none yet.

        There is one, however many ask at once: the key is stored before Stripe hears of it, and all send the same.
        """
        customer = await self._store.begin(context.user_id, now=context.now())
        if customer.customer_id is not None:
            return customer.customer_id
        try:
            made = await self._stripe.make(context.user_id, customer.idempotency_key)
        except StripeRefused:
            another = f"customer:{context.user_id}:{new_id('key')}"
            await self._store.use_another_key(context.user_id, customer.idempotency_key, another)
            raise
        await self._store.keep(context.user_id, made)
        return made

    async def forget(self, context: Context, gone: str | None) -> None:
        """The caller's customer was deleted at Stripe; of several who notice, one makes room for another one."""
        if gone is not None:
            await self._store.forget(context.user_id, gone, f"customer:{context.user_id}:{new_id('key')}")
