"""A bank with a seller who has earned 85 credits, and a Stripe that pays out: a sandbox whose events one hands over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from promptforge.actors.billing.connect.messages import (
    BeginConnectOnboarding,
    ConnectView,
    GetConnectAccount,
    OnboardingView,
)
from promptforge.actors.billing.ledger.messages import SettleSeller
from promptforge.actors.billing.payouts.domain import PayoutRules
from promptforge.actors.billing.payouts.messages import GetPayout, PayoutView, RequestPayout
from promptforge.core.amounts import MILLI
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.http.webhooks import event_from
from tests.integration.billing.bank import Bank, open_bank
from tests.support.processes import SteppedClock
from tests.support.stripe_sandbox import Till, open_till, stripe_api

RULES = PayoutRules(minimum=10 * MILLI)
Events = list[dict[str, Any]]  # Any: JSON


@dataclass(slots=True)
class Payroll:
    bank: Bank
    till: Till
    clock: SteppedClock
    seller: str

    # What the seller does

    async def onboarding(self, user: str | None = None, country: str = "US") -> OnboardingView:
        context = self.bank.context(user or self.seller, Role.SELLER)
        return await context.ask(BeginConnectOnboarding(country=country))

    async def account(self, user: str | None = None) -> ConnectView:
        return await self.bank.context(user or self.seller).ask(GetConnectAccount())

    async def account_id(self, user: str | None = None) -> str:
        row = await self.bank.collection("connect_accounts").find_one({"_id": user or self.seller})
        assert row is not None
        identifier: str = row["account_id"]
        return identifier

    async def onboard(self) -> str:
        """All the way, with bank details that are old enough, and money at the platform; answers the account."""
        await self.onboarding()
        account_id = await self.account_id()
        await self.till.control(f"/accounts/{account_id}/onboard")
        await self.hear()
        self.clock.advance(hours=73)
        await self.till.control("/funds", {"amount": 1_000_000})
        return account_id

    async def request(self, amount: str = "50", user: str | None = None) -> PayoutView:
        made = await self.bank.context(user or self.seller, Role.SELLER).ask(RequestPayout(amount=amount))
        return made.value

    async def payout(self, payout_id: str) -> PayoutView:
        return await self.bank.context(self.seller).ask(GetPayout(payout_id=payout_id))

    async def credits(self) -> tuple[str, str]:
        """Earned and reserved."""
        view = await self.bank.credits(self.seller)
        return view.earned, view.reserved

    # What happens around

    async def hear(self, events: Events | None = None) -> None:
        """Hand over these events, or all that Stripe has sent so far, and run what follows."""
        if events is None:
            await self.till.quiet()
            events = list(self.till.received.events)
        for event in events:
            await self.bank.record(event_from(json.dumps(event).encode()))
        await self.run()

    async def run(self) -> None:
        """Run every job that is due now."""
        await self.bank.process.runner.drain()

    async def fault(self, kind: str, operation: str = "transfers.create", **more: Any) -> None:
        await self.till.control("/faults", {"operation": operation, "kind": kind, **more})

    async def transfers(self) -> list[Any]:
        return (await self.till.client.v1.transfers.list_async({"limit": 100})).data

    async def ended_well(self) -> bool:
        return (await self.bank.verify()).violations == ()


@asynccontextmanager
async def open_payroll(mongo: Mongo, rules: PayoutRules = RULES) -> AsyncIterator[Payroll]:
    clock = SteppedClock()
    async with (
        open_till() as till,
        stripe_api(till.sandbox.url) as api,
        open_bank(mongo, api=api, clock=clock, running=False, rules=rules) as bank,
    ):
        seller = await bank.user()
        await bank.charge(await bank.user(purchased=100), seller, 100)
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=seller))
        yield Payroll(bank, till, clock, seller)
