"""A bank whose Stripe is a sandbox, spoken to through the SDK; its events come when a test hands them over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from promptforge.actors.billing.events.claims import DisputeEvents
from promptforge.actors.billing.events.domain import Outcome
from promptforge.actors.billing.messages import CheckoutView
from promptforge.actors.billing.store import DisputeStore
from promptforge.actors.billing.stripe.claims import StripeClaims
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.http.webhooks import event_from
from tests.integration.billing.bank import Bank, open_bank
from tests.support.stripe_sandbox import Till, open_till, stripe_api

Events = list[dict[str, Any]]  # Any: JSON


@dataclass(slots=True)
class Shop:
    """A bank whose Stripe is a sandbox; its events come when a test hands them over."""

    bank: Bank
    till: Till

    async def buy(self, user: str, **how: Any) -> tuple[CheckoutView, str]:
        """Buy the smallest pack; the checkout and its charge."""
        checkout = await self.bank.checkout(user)
        await self.till.control(f"/checkout/{checkout.session_id}/pay", how)
        assert checkout.session_id is not None
        session = await self.till.client.v1.checkout.sessions.retrieve_async(checkout.session_id)
        intent = await self.till.client.v1.payment_intents.retrieve_async(str(session.payment_intent))
        return checkout, str(intent.latest_charge)

    async def told(self) -> Events:
        """All events so far, in the order in which they came."""
        await self.till.quiet()
        return list(self.till.received.events)

    async def hear(self, events: Events) -> None:
        for event in events:
            await self.bank.record(event_from(json.dumps(event).encode()))
        await self.bank.until_quiet()

    async def refund(self, charge: str, amount: int, **more: Any) -> str:
        params: Any = {"charge": charge, "amount": amount, **more}
        return (await self.till.client.v1.refunds.create_async(params)).id

    async def dispute(self, charge: str, **how: Any) -> str:
        opened: str = (await self.till.control("/disputes", {"charge": charge, **how}))["id"]
        return opened

    async def read(self, dispute: str) -> Callable[[Context], Awaitable[Outcome]]:
        """What another process has read of a dispute, and not applied yet."""
        async with stripe_api(self.till.sandbox.url) as api:
            effect = await DisputeEvents(StripeClaims(api), DisputeStore(self.bank.process.mongo)).of_dispute(dispute)
        assert not isinstance(effect, Outcome)
        return effect

    async def states(self) -> set[str]:
        rows = await self.bank.collection("webhook_events").find({}).to_list(None)
        return {row["state"] for row in rows}


@asynccontextmanager
async def open_shop(mongo: Mongo) -> AsyncIterator[Shop]:
    async with open_till() as till, stripe_api(till.sandbox.url) as api, open_bank(mongo, api=api) as bank:
        yield Shop(bank, till)
