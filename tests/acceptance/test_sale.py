"""The way from a prompt to a sale, as a frontend goes it, and what other people see of it: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import Service, assert_problem, serving
from tests.support.waiving import WAIVED

TEXT = "Summarise {{article}} in three sentences."
NOWHERE = "01arz3ndektsv4rrffq69g5fav"


@dataclass
class Sale:
    """Everything the story made."""

    service: Service
    seller: Person
    buyer: Person
    moderator: Person
    operator: Person
    stranger: Person
    prompt: dict[str, Any]
    listing: dict[str, Any]
    case: dict[str, Any]
    checkout: dict[str, Any]
    purchase: dict[str, Any]
    notification: dict[str, Any]
    job: dict[str, Any]


@pytest.fixture(scope="module")
def sale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sale]:
    with serving(tmp_path_factory.mktemp("sale")) as service:
        yield _from_a_prompt_to_a_sale(service)


def _from_a_prompt_to_a_sale(service: Service) -> Sale:
    seller = service.person("carla", Role.SELLER)
    buyer = service.person("bruno")
    moderator = service.person("mona", Role.MODERATOR)
    operator = service.person("otto", Role.OPERATOR)
    stranger = service.person("steve", Role.SELLER)
    assert set(seller.get("/users/me")["roles"]) == {"seller", "user"}
    prompt = seller.post("/prompts", {"name": "Hurried reader"}, expect=201)
    assert prompt["latest_version"] == 0
    seller.post(f"/prompts/{prompt['id']}/versions", {"content": "Summarise."}, expect=201)
    version = seller.post(f"/prompts/{prompt['id']}/versions", {"content": TEXT}, expect=201)
    assert version["version"] == 2
    listing, case = _publish(seller, buyer, moderator, prompt["id"])
    checkout = _buy_credits(service, buyer, f"/marketplace/listings/{listing['id']}/purchases")
    purchase = _buy(seller, buyer, listing["id"])

    def sold() -> Any:
        return [one for one in seller.get("/notifications")["items"] if one["kind"] == "listing.sold"]

    notification = eventually(sold)[0]
    assert notification["subject"]["purchase_id"] == purchase["id"]
    jobs = eventually(
        lambda: [job for job in operator.get("/jobs?state=completed")["items"] if job["owner_id"]] or None
    )
    return Sale(
        service=service,
        seller=seller,
        buyer=buyer,
        moderator=moderator,
        operator=operator,
        stranger=stranger,
        prompt=prompt,
        listing=listing,
        case=case,
        checkout=checkout,
        purchase=purchase,
        notification=notification,
        job=jobs[0],
    )


def _publish(seller: Person, buyer: Person, moderator: Person, prompt_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    wanted = {
        "prompt_id": prompt_id,
        "version": 2,
        "title": "Summaries for people in a hurry",
        "summary": "Three sentences and the next step",
        "description": "A prompt that turns any article into three plain sentences.",
        "category": "writing",
        "tags": ["summary"],
        "price": "25",
    }
    listing = seller.post("/marketplace/listings", wanted, expect=201)
    path = f"/marketplace/listings/{listing['id']}"
    assert listing["state"] == "draft"
    assert seller.get(path)["state"] == "draft"
    buyer.get(path, expect=404)
    assert buyer.get("/marketplace/listings")["items"] == []
    assert seller.post(f"{path}/submit")["state"] == "in_review"
    buyer.get(path, expect=404)
    assert buyer.post(f"{path}/purchases", {"expected_price": "25"}, expect=404)["code"] == "not_found"
    case = eventually(lambda: moderator.get("/moderation/cases")["items"])[0]
    assert case["listing_id"] == listing["id"]
    decision = {"decision": "approve", "reason_code": "meets_guidelines", "public_note": "Clear."}
    moderator.post(f"/moderation/cases/{case['id']}/claim")
    decided = moderator.post(f"/moderation/cases/{case['id']}/decision", decision)
    assert decided["state"] == "decided"
    assert moderator.post(f"/moderation/cases/{case['id']}/decision", decision) == decided, "the answer was lost"
    other = {**decision, "public_note": "Very clear."}
    again = moderator.post(f"/moderation/cases/{case['id']}/decision", other, expect=409)
    assert again["code"] == "already_decided"
    assert buyer.get(path)["state"] == "published"
    assert [one["id"] for one in buyer.get("/marketplace/listings?category=writing")["items"]] == [listing["id"]]
    return listing, case


def _buy_credits(service: Service, buyer: Person, purchases: str) -> dict[str, Any]:
    assert buyer.post(purchases, {"expected_price": "25"}, expect=402)["code"] == "insufficient_credits"
    pack = buyer.get("/billing/packs")["packs"][0]
    checkout: dict[str, Any] = buyer.post("/billing/checkouts", {"pack_id": pack["id"], **WAIVED}, expect=201)
    assert buyer.get("/users/me/credits")["available"] == "0"
    for _ in range(3):
        assert service.pay(checkout).status_code == 200
    eventually(lambda: buyer.get(f"/billing/checkouts/{checkout['id']}")["state"] == "paid")
    assert service.pay(checkout, event_id="evt_another_for_the_same_checkout").status_code == 200
    assert buyer.get("/users/me/credits")["available"] == pack["total_credits"]
    return checkout


def _buy(seller: Person, buyer: Person, listing_id: str) -> dict[str, Any]:
    path = f"/marketplace/listings/{listing_id}/purchases"
    before = int(buyer.get("/users/me/credits")["available"])
    assert buyer.post(path, {"expected_price": "24"}, expect=409)["code"] == "price_changed"
    assert seller.post(path, {"expected_price": "25"}, expect=403)["code"] == "own_listing"
    purchase: dict[str, Any] = buyer.post(path, {"expected_price": "25"}, expect=201)
    assert buyer.post(path, {"expected_price": "25"}, expect=409)["code"] == "already_owned"
    assert int(buyer.get("/users/me/credits")["available"]) == before - 25
    assert buyer.get(f"/marketplace/purchases/{purchase['id']}")["content"] == TEXT
    assert seller.get("/users/me/credits")["pending"] == "21.25"
    assert [sale["net"] for sale in seller.get("/marketplace/sales")["items"]] == ["21.25"]
    return purchase


def test_a_prompt_becomes_a_sale(sale: Sale) -> None:
    assert [one["id"] for one in sale.buyer.get("/marketplace/purchases")["items"]] == [sale.purchase["id"]]
    assert sale.purchase["price"] == "25"
    assert sale.stranger.get("/marketplace/purchases")["items"] == []


def test_the_ledger_adds_up(sale: Sale) -> None:
    report = verified_ledger(sale.operator)
    assert (report["ok"], report["violations"]) == (True, [])
    assert report["journals"] == 2


def test_no_job_is_left(sale: Sale) -> None:
    def left() -> list[Any]:
        states = ("available", "running", "dead")
        return [job for state in states for job in sale.operator.get(f"/jobs?state={state}")["items"]]

    eventually(lambda: left() == [])


def test_what_belongs_to_somebody_else_does_not_exist(sale: Sale) -> None:
    prompt, listing = sale.prompt["id"], sale.listing["id"]
    for person, method, path in [
        (sale.stranger, "GET", f"/prompts/{prompt}"),
        (sale.stranger, "PATCH", f"/prompts/{prompt}"),
        (sale.stranger, "DELETE", f"/prompts/{prompt}"),
        (sale.stranger, "POST", f"/prompts/{prompt}/restore"),
        (sale.stranger, "GET", f"/prompts/{prompt}/versions"),
        (sale.stranger, "GET", f"/prompts/{prompt}/versions/2"),
        (sale.buyer, "GET", f"/prompts/{prompt}/versions/2"),
        (sale.moderator, "GET", f"/prompts/{prompt}/versions/2"),
        (sale.stranger, "GET", f"/marketplace/purchases/{sale.purchase['id']}"),
        (sale.seller, "GET", f"/marketplace/purchases/{sale.purchase['id']}"),
        (sale.moderator, "GET", f"/marketplace/purchases/{sale.purchase['id']}"),
        (sale.stranger, "POST", f"/notifications/{sale.notification['id']}/read"),
        (sale.stranger, "GET", f"/billing/checkouts/{sale.checkout['id']}"),
        (sale.stranger, "GET", f"/jobs/{sale.job['id']}"),
        (sale.stranger, "PATCH", f"/marketplace/listings/{listing}"),
        (sale.stranger, "POST", f"/marketplace/listings/{listing}/submit"),
        (sale.stranger, "POST", f"/marketplace/listings/{listing}/withdraw"),
        (sale.stranger, "POST", f"/marketplace/listings/{listing}/unlist"),
        (sale.stranger, "POST", f"/marketplace/listings/{listing}/relist"),
    ]:
        body: dict[str, str] | None = {} if method == "PATCH" else None
        response = person.client.request(method, path, json=body)
        assert (method, path, response.status_code) == (method, path, 404)
        assert_problem(response, 404, "not_found")
    version = {"content": "Mine now."}
    assert_problem(sale.stranger.client.post(f"/prompts/{prompt}/versions", json=version), 404, "not_found")
    stolen = {
        "prompt_id": prompt,
        "version": 2,
        "title": "Mine now",
        "summary": "Mine now",
        "description": "Mine now",
        "category": "writing",
        "price": "1",
    }
    assert_problem(sale.stranger.client.post("/marketplace/listings", json=stolen), 404, "not_found")


def test_what_belongs_to_somebody_else_is_still_theirs(sale: Sale) -> None:
    assert sale.seller.get(f"/prompts/{sale.prompt['id']}")["latest_version"] == 2
    assert sale.seller.get(f"/marketplace/listings/{sale.listing['id']}")["state"] == "published"
    assert sale.seller.post(f"/notifications/{sale.notification['id']}/read")["read_at"] is not None


def test_what_does_not_exist_is_not_found(sale: Sale) -> None:
    for person, method, path in [
        (sale.seller, "GET", f"/prompts/prm_{NOWHERE}"),
        (sale.seller, "GET", f"/prompts/prm_{NOWHERE}/versions"),
        (sale.seller, "GET", f"/prompts/{sale.prompt['id']}/versions/3"),
        (sale.seller, "DELETE", f"/prompts/prm_{NOWHERE}"),
        (sale.seller, "GET", f"/marketplace/listings/lst_{NOWHERE}"),
        (sale.seller, "POST", f"/marketplace/listings/lst_{NOWHERE}/submit"),
        (sale.buyer, "GET", f"/marketplace/purchases/pur_{NOWHERE}"),
        (sale.buyer, "GET", f"/billing/checkouts/chk_{NOWHERE}"),
        (sale.buyer, "POST", f"/notifications/ntf_{NOWHERE}/read"),
        (sale.buyer, "GET", f"/jobs/job_{NOWHERE}"),
        (sale.operator, "GET", f"/jobs/job_{NOWHERE}"),
        (sale.moderator, "GET", f"/moderation/cases/cas_{NOWHERE}"),
        (sale.buyer, "GET", "/users/nobody-at-all"),
    ]:
        response = person.client.request(method, path)
        assert (method, path, response.status_code) == (method, path, 404)
        assert_problem(response, 404, "not_found")
    bought = sale.buyer.client.post(f"/marketplace/listings/lst_{NOWHERE}/purchases", json={"expected_price": "1"})
    assert_problem(bought, 404, "not_found")
    paid = sale.buyer.client.post("/billing/checkouts", json={"pack_id": "pack_of_wolves", **WAIVED})
    assert_problem(paid, 404, "not_found")


def test_moderation_and_operations_are_forbidden_to_everyone_else(sale: Sale) -> None:
    decision = {"decision": "reject", "reason_code": "because", "public_note": "No."}
    case = f"/moderation/cases/{sale.case['id']}"
    for person in (sale.buyer, sale.seller, sale.operator):
        assert_problem(person.client.get(case), 403, "forbidden")
        assert_problem(person.client.get("/moderation/cases"), 403, "forbidden")
        assert_problem(person.client.post(f"{case}/decision", json=decision), 403, "forbidden")
    for person in (sale.buyer, sale.seller, sale.moderator):
        assert_problem(person.client.get("/ops/ledger"), 403, "forbidden")
        assert_problem(person.client.get("/ops/actors"), 403, "forbidden")
    assert sale.buyer.get("/marketplace/listings/mine")["items"] == [], "who was a seller has some"


def test_a_visitor_without_an_account_sees_the_market_and_nothing_else(sale: Sale) -> None:
    api = "/api/v1"
    listed = sale.service.visitor.get(f"{api}/marketplace/listings").json()["items"]
    assert [one["id"] for one in listed] == [sale.listing["id"]]
    assert TEXT not in sale.service.visitor.get(f"{api}/marketplace/listings/{sale.listing['id']}").text
    for path in ("/prompts", "/users/me", "/notifications", "/jobs", "/ops/ledger", "/moderation/cases"):
        assert_problem(sale.service.visitor.get(api + path), 401, "unauthenticated")


def test_the_command_line_beside_the_service_uses_the_same_mongod(sale: Sale) -> None:
    pid = sale.service.mongod_pid()
    verified = sale.service.command("ledger", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "Every invariant holds." in verified.stdout
    listed = sale.service.command("jobs", "list")
    assert listed.returncode == 0
    assert "completed" in listed.stdout
    assert sale.service.mongod_pid() == pid
    assert sale.buyer.get("/users/me/credits")["available"] != "0"  # the last one out stops mongod, and it was not
