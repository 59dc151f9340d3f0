"""Puts together what onboards sellers and pays them out: three actors, and what Stripe's events mean for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptforge.actors.billing import ConnectActor, PayoutsActor, PayoutSendingActor
from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.connect.refreshing import ConnectRefresher
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.events.handling import EventHandler
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.billing.payouts.domain import PayoutRules
from promptforge.actors.billing.payouts.events import AccountEvents, BankPayoutEvents, TransferEvents
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.live_connect import StripeConnectedAccounts, StripeTransfers
from promptforge.core.clock import Clock
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor


@dataclass(frozen=True, slots=True)
class PayingOut:
    actors: Sequence[Actor]
    event_handlers: Sequence[EventHandler]


def paying_out(mongo: Mongo, api: StripeApi, rules: PayoutRules, *, base: str, clock: Clock) -> PayingOut:
    """`base`: where people's browsers find this service."""
    connected, payouts = ConnectStore(mongo), PayoutStore(mongo)
    accounts, transfers = StripeConnectedAccounts(api, base=base), StripeTransfers(api)
    refresher, earners = ConnectRefresher(connected, accounts, LinkStore(mongo)), Earners(mongo)
    return PayingOut(
        actors=(
            ConnectActor(connected, refresher, accounts, earners, bank_hold=rules.bank_hold),
            PayoutsActor(payouts, connected, transfers, earners, rules=rules),
            PayoutSendingActor(payouts, refresher, transfers, rules=rules),
        ),
        event_handlers=(
            AccountEvents(connected, refresher, clock),
            BankPayoutEvents(connected, payouts, accounts),
            TransferEvents(payouts, transfers),
        ),
    )
