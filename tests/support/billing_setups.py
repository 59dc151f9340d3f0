"""What the operations of billing need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

import json
from typing import Any

import httpx

from promptforge.core.ids import new_id
from tests.support.permission_world import Case, World
from tests.support.planting import make_payable, plant_payout, plant_receipt
from tests.support.running import PATIENCE_SECONDS, eventually
from tests.support.waiving import WAIVED

SELLER_DETAILS = {
    "kind": "individual",
    "name": "Sam Seller",
    "street": "Main Street 1",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
    "tax_number": "12 345 678 901",
    "tax_country": "DE",
    "birth_date": "1990-02-28",
}


def _checkout(world: World) -> dict[str, Any]:
    pack = world.owner.get("/billing/packs")["packs"][0]["id"]
    return {"checkout_id": world.owner.post("/billing/checkouts", {"pack_id": pack, **WAIVED}, expect=201)["id"]}


def _receipt(world: World) -> dict[str, Any]:
    return {"receipt_id": plant_receipt(world.database, world.owner_id)}


def _unconnected(world: World) -> dict[str, Any]:
    """Without the accounts of other cases, which Stripe does not know."""
    world.database["connect_accounts"].delete_many({})
    return {}


def _unsubscribed(world: World) -> dict[str, Any]:
    """One subscribes once at a time."""
    world.database["subscriptions"].update_many({}, {"$set": {"state": "canceled"}, "$unset": {"slot": ""}})
    return {}


def _subscription(world: World) -> dict[str, Any]:
    _unsubscribed(world)
    path = "/billing/subscriptions"
    return {"subscription_id": world.owner.post(path, {"plan_id": "monthly_1000", **WAIVED}, expect=201)["id"]}


def _going_on(world: World) -> dict[str, Any]:
    made = _subscription(world)
    path = f"/billing/subscriptions/{made['subscription_id']}"
    assert httpx.post(world.owner.get(path)["url"], data={"action": "pay"}, timeout=PATIENCE_SECONDS).status_code == 303
    eventually(lambda: world.owner.get(path)["state"] == "active")
    return made


def _webhook_event(world: World) -> dict[str, Any]:
    event_id = new_id("evt")
    told = {"id": event_id, "object": "event", "type": "x.y", "created": 1, "livemode": False, "data": {}}
    assert world.service.send_event(json.dumps(told)).status_code == 200
    return {"event_id": event_id}


def _payable(world: World) -> dict[str, Any]:
    """Whoever is to be served has earned credits, and a bank at Stripe."""
    for caller in ("owner", "seller"):
        make_payable(world.database, world.people[caller].get("/users/me")["id"])
    return {}


def _payout(world: World) -> dict[str, Any]:
    """With no job that sends it: it is about rights here."""
    return {"payout_id": plant_payout(world.database, world.owner_id, state="requested")}


def _held_payout(world: World) -> dict[str, Any]:
    return {"payout_id": plant_payout(world.database, world.owner_id, state="held")}


def cases() -> dict[str, Case]:
    return {
        "listCreditPacks": Case(),
        "getWithdrawalWaiver": Case(),
        "createCheckout": Case(
            body=lambda world: {
                "pack_id": world.owner.get("/billing/packs")["packs"][0]["id"],
                **WAIVED,
            }
        ),
        "getCheckout": Case(_checkout),
        "listReceipts": Case(),
        "getReceipt": Case(_receipt),
        "getSellerDetails": Case(),
        "setSellerDetails": Case(body=lambda _: {"details": SELLER_DETAILS}),
        "getTrader": Case(lambda world: {"seller_id": world.owner_id}),
        "requestSellerReport": Case(body=lambda _: {"year": 2026, "quarter": 4}),
        "listSellerReport": Case(lambda _: {"query": "year=2026&quarter=4"}),
        "downloadSellerReport": Case(lambda _: {"query": "year=2026&quarter=4"}),
        "listCountryConflicts": Case(),
        "listPlans": Case(),
        "createSubscription": Case(_unsubscribed, lambda _: {"plan_id": "monthly_1000", **WAIVED}),
        "listSubscriptions": Case(),
        "getSubscription": Case(_subscription),
        "cancelSubscription": Case(_going_on),
        "openBillingPortal": Case(),
        "listWebhookEvents": Case(),
        "getWebhookEvent": Case(_webhook_event),
        "replayWebhookEvent": Case(_webhook_event),
        "requestReconciliation": Case(),
        "requestVerification": Case(),
        "getConnectAccount": Case(),
        "beginConnectOnboarding": Case(_unconnected, lambda _: {"country": "US"}),
        "listPayouts": Case(),
        "requestPayout": Case(_payable, lambda _: {"amount": "1000"}),
        "getPayout": Case(_payout),
        "withdrawPayout": Case(_payout),
        "listAllPayouts": Case(),
        "holdPayout": Case(_payout, lambda _: {"reason": "A test of permissions"}),
        "releasePayout": Case(_held_payout, lambda _: {"reason": "A test of permissions"}),
        "getLedgerReport": Case(),
    }
