"""What Stripe does to a market: requests fail, before and after their effect, and events are lost, doubled or late."""

from __future__ import annotations

from typing import Any

from tests.support.trade.market import Market

OPERATIONS = (
    "accounts.retrieve",
    "charges.retrieve",
    "checkout.sessions.create",
    "checkout.sessions.list",
    "customers.create",
    "disputes.retrieve",
    "invoice_payments.list",
    "invoices.retrieve",
    "refunds.list",
    "refunds.retrieve",
    "subscriptions.retrieve",
    "subscriptions.update",
    "transfers.create",
    "transfers.list",
    "transfers.retrieve",
)
"""What the service asks of Stripe where money is on its way."""
LOST_AFTER_SECONDS = 9.0
"""Longer than the service waits for an answer."""


def trouble_stripe(market: Market) -> bool:
    operation = market.rng.choice([*OPERATIONS, "transfers.create", "checkout.sessions.create"])
    kind = market.rng.choice(["rate_limit", "conflict", "server_error", "disconnect", "disconnect", "disconnect"])
    planned: dict[str, Any] = {
        "operation": operation,
        "kind": kind,
        "after": kind in {"server_error", "disconnect"} and market.rng.random() < 0.6,
        "times": market.rng.choice([1, 1, 2, 4]),
    }
    if market.rng.random() < 0.05:
        planned |= {"kind": "timeout", "after": True, "times": 1, "seconds": LOST_AFTER_SECONDS}
    market.control("/faults", planned)
    return True


def trouble_events(market: Market) -> bool:
    faults: tuple[dict[str, Any], ...] = (
        {"kind": "duplicate", "copies": 3, "times": 5},
        {"kind": "reorder", "times": 8, "seconds": 2},
        {"kind": "delay", "seconds": 3, "times": 3},
        {"kind": "lose", "times": 1},
    )
    market.control("/deliveries/faults", market.rng.choice(faults))
    return True
