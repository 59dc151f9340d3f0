"""A listing's life on the market over HTTP: evidence, sales, reviews, proposals, refunds, appeals, and being found."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import LISTING, Person, eventually, fund, published_listing, verified_ledger
from tests.support.service import Service, serving
from tests.support.troubled_model import troubled_model

CONTAINS = {"kind": "contains", "text": "two"}
MODEL = {"LLM_API_KEY": "sk-none", "LLM_MODEL": "troubled", "LLM_PRICES": "troubled=10000000/20000000"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with troubled_model() as url, serving(tmp_path_factory.mktemp("market"), LLM_BASE_URL=url, **MODEL) as started:
        yield started


@pytest.fixture(scope="module")
def seller(service: Service) -> Person:
    return service.person("carla", Role.SELLER)


@pytest.fixture(scope="module")
def moderator(service: Service) -> Person:
    return service.person("mona", Role.MODERATOR)


@pytest.fixture(scope="module")
def buyer(service: Service) -> Person:
    person = service.person("bruno")
    fund(service, person)
    return person


def path_of(service: Service, seller: Person, moderator: Person, name: str, price: str = "25") -> str:
    return f"/marketplace/listings/{published_listing(service, seller, moderator, name=name, price=price)}"


def case_of(moderator: Person, path: str, kind: str) -> Any:
    def find() -> Any:
        cases = moderator.get("/moderation/cases?limit=100")["items"]
        return next((one for one in cases if path.endswith(one["listing_id"]) and one["kind"] == kind), None)

    return eventually(find)


def _finished(person: Person, evaluation_id: str) -> bool:
    return bool(person.get(f"/evaluations/{evaluation_id}")["status"] == "finished")


def _is_suspended(person: Person) -> bool:
    return bool(person.get("/users/me")["suspended"])


def decide(moderator: Person, case: Any, decision: str) -> None:
    """With a reason that is one for the decision."""
    reasons = moderator.get("/moderation/reasons")["reasons"]
    reason = next(one["code"] for one in reasons if decision in one["decisions"])
    moderator.post(f"/moderation/cases/{case['id']}/claim")
    body = {"decision": decision, "reason_code": reason, "public_note": "Looked at."}
    moderator.post(f"/moderation/cases/{case['id']}/decision", body)


def test_a_sale_a_review_with_a_reply_and_a_refund(
    service: Service, seller: Person, moderator: Person, buyer: Person
) -> None:
    path = path_of(service, seller, moderator, "Reviewed")
    before = buyer.get("/users/me/credits")["available"]
    purchase = buyer.post(f"{path}/purchases", {"expected_price": "25"}, expect=201)
    bought = f"/marketplace/purchases/{purchase['id']}"
    review = buyer.call("PUT", f"{bought}/review", {"stars": 4, "text": "Good <b>work</b>."}, expect=200)
    assert (review["counted"], review["text"]) == (True, "Good <b>work</b>.")
    assert seller.get(path)["rating"] == {"count": 1, "average": 4.0}
    seller.call("PUT", f"/marketplace/reviews/{review['id']}/reply", {"text": "Thank you."}, expect=200)
    assert [one["reply"] for one in buyer.get(f"{path}/reviews")["items"]] == ["Thank you."]
    for stars in (0, 6, 2.5, "4"):
        buyer.call("PUT", f"{bought}/review", {"stars": stars, "text": "No."}, expect=422)
    buyer.call("DELETE", f"{bought}/review", expect=204)
    anew = buyer.call("PUT", f"{bought}/review", {"stars": 2, "text": "On reflection, no."}, expect=200)
    assert anew["id"] == review["id"]

    def told() -> list[str]:
        notices = seller.get("/notifications?limit=100")["items"]
        return [one["body"] for one in notices if one["subject"].get("review_id") == review["id"]]

    eventually(lambda: sorted(body.split()[-4] for body in told()) == ["2", "4"])  # each by a job of its own
    dashboard = seller.get("/marketplace/dashboard?days=7")
    assert (dashboard["total"]["net"], dashboard["total"]["sales"]) == ("21.25", 1)
    assert buyer.post(f"{bought}/refund", {"words": "I do not need it."})["refund"]["state"] == "refunded"
    assert buyer.get("/users/me/credits")["available"] == before
    assert seller.get(path)["rating"] == {"count": 0, "average": None}
    assert buyer.post(f"{bought}/refund", {"words": "Once more, please."}, expect=409)["code"] == "purchase_refunded"
    assert seller.get("/marketplace/dashboard")["total"]["refunded_net"] == "21.25"


def test_what_was_used_is_refunded_by_a_moderator_only(
    service: Service, seller: Person, moderator: Person, buyer: Person
) -> None:
    path = path_of(service, seller, moderator, "Used")
    purchase = buyer.post(f"{path}/purchases", {"expected_price": "25"}, expect=201)
    bought = f"/marketplace/purchases/{purchase['id']}"
    buyer.get(bought)
    assert buyer.post(f"{bought}/refund", {"words": "It does something else."})["refund"]["state"] == "in_review"
    assert case_of(moderator, path, "refund")["purchase_id"] == purchase["id"]
    assert buyer.post(f"{bought}/refund", {"words": "Where is it, please?"}, expect=409)["code"] == "refund_pending"


def test_a_change_is_proposed_reviewed_and_in_the_history(service: Service, seller: Person, moderator: Person) -> None:
    path = path_of(service, seller, moderator, "Proposed")
    etag = seller.client.get(path).headers["etag"]
    changed = seller.call("PATCH", path, {"title": "Better than before", "price": "20"}, expect=200)
    assert (changed["title"], changed["price"]) == (LISTING["title"], "20")
    stale = seller.client.patch(path, json={"price": "19"}, headers={"if-match": etag})
    assert stale.status_code == 412
    decide(moderator, case_of(moderator, path, "proposed_change"), "approve")
    assert seller.get(path)["title"] == "Better than before"
    moves = [entry["move"] for entry in seller.get(f"{path}/history")["items"]]
    assert moves == ["approve", "propose", "edit", "approve", "submit", "create"]
    for price in ("-1", "1e9", "0.0001", 5, "10000000000"):
        seller.call("PATCH", path, {"price": price}, expect=422)


def test_a_scorecard_is_of_exactly_the_version_sold_and_lost_with_it(
    service: Service, seller: Person, moderator: Person
) -> None:
    fund(service, seller)
    path = path_of(service, seller, moderator, "Evaluated")
    prompt = seller.get(path)["prompt_id"]
    dataset = seller.post("/datasets", {"name": "Numbers"}, expect=201)["id"]
    seller.post(f"/datasets/{dataset}/items", {"items": [{"variables": {"article": "one two"}}]})
    seller.post(f"/prompts/{prompt}/versions", {"content": "Count {{article}}."}, expect=201)
    cards = {}
    for version in (1, 2):
        body = {"prompt_id": prompt, "version": version, "dataset_id": dataset, "scorers": [CONTAINS]}
        cards[version] = seller.post("/evaluations", body, expect=202)["id"]
    for one in cards.values():
        eventually(partial(_finished, seller, one))
    wrong = seller.call("PUT", f"{path}/evidence", {"evaluation_id": cards[2]}, expect=409)
    assert wrong["code"] == "evidence_mismatch"
    evidence = seller.call("PUT", f"{path}/evidence", {"evaluation_id": cards[1]}, expect=200)["evidence"]
    assert (evidence["state"], evidence["model"], evidence["items"]) == ("current", "troubled", 1)
    assert evidence["dataset_name"] is not None
    shown = service.person("").get(path)["evidence"]
    assert shown == {**evidence, "dataset_name": None}, "nobody has reviewed what the dataset is called"
    seller.call("PATCH", path, {"version": 2}, expect=200)
    assert service.person("").get(path)["evidence"]["state"] == "current", "it still sells version 1"
    decide(moderator, case_of(moderator, path, "proposed_change"), "approve")
    lost = service.person("").get(path)["evidence"]
    assert (lost["state"], lost["version"]) == ("outdated", 1)
    assert lost["outdated_because"] == "It is about version 1, and the listing sells version 2"
    assert seller.call("PUT", f"{path}/evidence", {"evaluation_id": cards[2]}, expect=200)["evidence"]["version"] == 2
    seller.call("PUT", f"{path}/evidence", {"evaluation_id": "evl_nowhere"}, expect=404)
    seller.call("DELETE", f"/datasets/{dataset}", None, expect=204)
    gone = eventually(lambda: (told := service.person("").get(path)["evidence"])["state"] == "outdated" and told)
    assert gone["outdated_because"] == "Its dataset was deleted, so nobody can repeat it"
    seller.call("PUT", f"{path}/evidence", {"evaluation_id": cards[2]}, expect=404)
    assert seller.call("DELETE", f"{path}/evidence", None, expect=200)["evidence"] is None


def test_a_rejection_is_appealed_once_and_decided_again(service: Service, seller: Person, moderator: Person) -> None:
    prompt = seller.post("/prompts", {"name": "Rejected"}, expect=201)["id"]
    seller.post(f"/prompts/{prompt}/versions", {"content": "Say {{word}}"}, expect=201)
    listing = seller.post("/marketplace/listings", {**LISTING, "prompt_id": prompt}, expect=201)
    path = f"/marketplace/listings/{listing['id']}"
    seller.post(f"{path}/submit")
    decide(moderator, case_of(moderator, path, "review"), "reject")
    words = {"words": "It is my own text, written this year."}
    assert seller.post(f"{path}/appeal", words)["review"]["appealed_at"] is not None
    assert seller.post(f"{path}/appeal", words, expect=409)["code"] == "already_appealed"
    assert case_of(moderator, path, "appeal")["reason"] == words["words"]


def test_browsing_favourites_categories_and_reports(
    service: Service, seller: Person, moderator: Person, buyer: Person
) -> None:
    path = path_of(service, seller, moderator, "Found", price="0")
    found = buyer.get("/marketplace/listings?free=true&sort=trending")["items"]
    assert [one["id"] for one in found] == [path.rsplit("/", 1)[1]]
    buyer.call("PUT", f"{path}/favourite", {}, expect=200)
    assert [one["listing_id"] for one in buyer.get("/marketplace/favourites")["items"]] == [found[0]["id"]]
    assert sum(one["listings"] for one in buyer.get("/marketplace/categories")["categories"]) > 0
    report = {"reason": "copied", "words": "It is the same as mine, word for word."}
    first = buyer.post(f"{path}/reports", report, expect=201)
    assert buyer.post(f"{path}/reports", report, expect=200)["id"] == first["id"]
    assert case_of(moderator, path, "report")["reason"].endswith(report["words"])
    for title in ("Summ\u0430ries", "safe\u202etxet", "Sum\u200dmaries"):
        seller.call("PATCH", path, {"title": title}, expect=422)


def test_who_writes_a_listing_sees_it_on_the_market_at_once_and_another_process_soon(
    service: Service, seller: Person, moderator: Person
) -> None:
    """Pages of the market are remembered: by the process that writes a listing, not beyond its own writing."""
    path = path_of(service, seller, moderator, "Remembered", price="3")
    listed = "/marketplace/listings?max_price=3&min_price=3"

    def shows(visitor: Person, *titles: str) -> bool:
        return [one["title"] for one in visitor.get(listed)["items"]] == [*titles]

    with serving(service.directory) as beside:
        here, there, before = service.person(""), beside.person(""), str(LISTING["title"])
        for title in ("Summaries, first", "Summaries, second", "Summaries, third"):
            assert shows(here, before)
            eventually(partial(shows, there, before))
            seller.call("PATCH", path, {"title": title}, expect=200)
            decide(moderator, case_of(moderator, path, "proposed_change"), "approve")
            assert shows(here, title)
            before = title
        eventually(partial(shows, there, before))
        seller.post(f"{path}/unlist")
        assert shows(here)
        eventually(partial(shows, there))
    first = here.client.get(listed)
    assert here.client.get(listed, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_a_sale_beside_the_suspension_of_its_buyer_is_before_it_or_refused(
    service: Service, seller: Person, moderator: Person
) -> None:
    path = path_of(service, seller, moderator, "Last minute")
    buyers = [service.person(f"late{number}") for number in range(6)]
    ids = [buyer.get("/users/me")["id"] for buyer in buyers]
    for buyer in buyers:
        fund(service, buyer)
    before = [Decimal(buyer.get("/users/me/credits")["available"]) for buyer in buyers]

    def buy(buyer: Person) -> tuple[int, str | None]:
        reply = buyer.client.post(f"{path}/purchases", json={"expected_price": "25"})
        return reply.status_code, reply.json().get("code")

    with service.database() as client, ThreadPoolExecutor(len(buyers)) as pool:
        clicks = [pool.submit(buy, buyer) for buyer in buyers]
        for user_id in ids:
            client["promptforge"]["users"].update_one({"_id": user_id}, {"$set": {"suspended": True}})
        outcomes = [click.result() for click in clicks]
    assert set(outcomes) <= {(201, None), (403, "account_suspended")}
    for buyer, had, (status, _) in zip(buyers, before, outcomes, strict=True):
        left = Decimal(buyer.get("/users/me/credits")["available"])
        assert had - left == (25 if status == 201 else 0)
        eventually(partial(_is_suspended, buyer))
        assert buy(buyer) == (403, "account_suspended")


def test_the_ledger_is_right_after_all_that(service: Service) -> None:
    operator = service.person("otto", Role.OPERATOR)
    assert verified_ledger(operator)["ok"]
