"""A database of the service before, and what people see once this one has started on it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import anyio

from promptforge.core.mongo import EmbeddedMongod, Mongo
from promptforge.core.principal import Role
from tests.support.old_database import fill
from tests.support.service import DATABASE, Service

USERS = 200


async def _fill(url: str) -> None:
    mongo = await Mongo.connect(url, DATABASE)
    await fill(mongo, USERS)
    told = {"livemode": False}
    await mongo.collection("webhook_events").update_many({"livemode": {"$exists": False}}, {"$set": told})
    mongo.close()


def test_people_find_their_credits_and_sellers_their_listings(tmp_path: Path) -> None:
    service = Service(tmp_path)
    try:
        old = EmbeddedMongod.start(service.mongo_directory)
        anyio.run(_fill, old.url)
        refused = service.command("ledger", "verify")
        assert (refused.returncode, "start the service on it first" in refused.stderr) == (78, True), refused.stderr
        old.stop()
        service.start()
        _look(service)
    finally:
        service.stop()


def _look(service: Service) -> None:
    rich, owing, unread = (service.person(f"uid{number}") for number in (0, 4, 16))
    assert rich.get("/users/me/credits")["granted"] == "100"
    assert [one["kind"] for one in rich.get("/users/me/transactions")["items"]] == ["opening"]
    assert (owing.get("/users/me/credits")["debt"], unread.get("/users/me/credits")["available"]) == ("7", "0")
    assert rich.get("/users/me")["roles"] == ["user"]

    (listing,) = service.person("uid20", Role.SELLER).get("/marketplace/listings/mine")["items"]
    assert (listing["state"], listing["review"]["reason_code"]) == ("rejected", "from_the_service_before")
    assert rich.get("/marketplace/listings")["items"] == []
    rich.post(f"/marketplace/listings/{listing['id']}/purchases", {"expected_price": "12.5"}, expect=404)

    operator = service.person("operator", Role.OPERATOR)
    before = operator.get("/billing/webhook-events?limit=100")["items"]
    again = {
        "id": "evt_10",
        "object": "event",
        "type": "charge.refunded",
        "livemode": False,
        "created": int(time.time()),
    }
    assert service.send_event(json.dumps({**again, "data": {"object": {}}})).status_code == 200
    assert operator.get("/billing/webhook-events?limit=100")["items"] == before
    assert {one["state"] for one in before} == {"processed", "quarantined"}
    verified = service.command("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
