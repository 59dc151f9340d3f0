"""What was bought in search, over HTTP: found by who owns it and nobody else, whatever became of the listing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from promptforge.core.principal import Role
from tests.support.package_setups import drafted, published
from tests.support.running import LISTING, Person, assert_ledger_whole, eventually
from tests.support.service import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("search-purchases")) as started:
        yield started
        assert_ledger_whole(started)


@pytest.fixture(scope="module")
def moderator(service: Service) -> Person:
    return service.person("mona", Role.MODERATOR)


def found(person: Person, q: str, **more: Any) -> Any:
    return person.get(f"/search?{urlencode({'q': q, 'mode': 'text', **more})}")


def owned(person: Person, q: str, **more: Any) -> list[str]:
    return [hit["id"] for hit in found(person, q, kind="purchase", **more)["items"]]


def decided(moderator: Person, listing_id: str, kind: str, decision: str, reason: str) -> None:
    def case() -> Any:
        cases = moderator.get("/moderation/cases?limit=100")["items"]
        return next((one for one in cases if (one["listing_id"], one["kind"]) == (listing_id, kind)), None)

    path = f"/moderation/cases/{eventually(case)['id']}"
    moderator.post(f"{path}/claim")
    moderator.post(f"{path}/decision", {"decision": decision, "reason_code": reason, "public_note": "Looked at."})


def on_offer(seller: Person, moderator: Person, **fields: Any) -> str:
    """The path of a published listing of a prompt."""
    prompt = seller.post("/prompts", {"name": fields["title"]}, expect=201)["id"]
    seller.post(f"/prompts/{prompt}/versions", {"content": "Answer {{letter}}."}, expect=201)
    listing = seller.post("/marketplace/listings", {**LISTING, "prompt_id": prompt, **fields}, expect=201)["id"]
    seller.post(f"/marketplace/listings/{listing}/submit")
    decided(moderator, listing, "review", "approve", "meets_guidelines")
    return f"/marketplace/listings/{listing}"


def buy(buyer: Person, path: str, price: str = "0") -> str:
    return str(buyer.post(f"{path}/purchases", {"expected_price": price}, expect=201)["id"])


def test_a_buyer_finds_a_prompt_that_is_off_the_market_and_nobody_else_does(
    service: Service, moderator: Person
) -> None:
    seller, ada, bob = service.person("carla", Role.SELLER), service.person("ada"), service.person("bob")
    words = {"title": "Accordion letters", "summary": "Polite hurdy-gurdy answers", "price": "0"}
    path = on_offer(seller, moderator, **words)
    eventually(lambda: found(ada, "accordion", kind="listing")["total"] == 1)
    assert owned(ada, "accordion") == []
    mine = buy(ada, path)
    eventually(lambda: owned(ada, "accordion") == [mine])
    his = buy(bob, path)
    assert owned(bob, "accordion") == [his], "at once"
    seller.post(f"{path}/unlist")
    eventually(lambda: found(ada, "accordion", kind="listing")["total"] == 0)
    hit = found(ada, "hurdy gurdy")["items"][0]
    assert (hit["kind"], hit["id"], hit["title"], hit["offer"]) == ("purchase", mine, words["title"], None)
    assert ada.get(f"/marketplace/purchases/{hit['id']}")["content"] == "Answer {{letter}}."
    facets = {facet["field"]: facet["values"] for facet in found(ada, "accordion")["facets"]}
    assert facets["kind"] == [{"value": "purchase", "count": 1}]
    assert [one["id"] for one in ada.get("/search/suggestions?q=accord")["items"]] == [mine]
    assert mine in owned(ada, "courteous replies to mail", mode="semantic")
    for other in (service.person("eve"), service.person("")):
        for more in ({}, {"mode": "semantic"}, {"kind": "purchase"}, {"project_id": path.rpartition("/")[2]}):
            page = found(other, "accordion", **more)
            assert (page["items"], page["total"], page["facets"]) == ([], 0, []), more
        assert other.get("/search/suggestions?q=accord")["items"] == []
    assert owned(seller, "accordion") == [], "who sells it has not bought it"


def test_what_was_given_back_is_not_found_at_once(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = on_offer(seller, moderator, title="Celesta letters", price="10")
    buyers = [service.funded(f"returns-{number}", 20) for number in range(2)]
    gone, kept = [buy(buyer, path, "10") for buyer in buyers]
    eventually(lambda: owned(buyers[0], "celesta") == [gone])
    buyers[0].post(f"/marketplace/purchases/{gone}/refund", {"words": "I have changed my mind."})
    assert owned(buyers[0], "celesta") == []
    assert owned(buyers[1], "celesta") == [kept]
    again = buy(buyers[0], path, "10")
    assert owned(buyers[0], "celesta") == [again]


def test_of_what_is_suspended_only_the_title_is_found(service: Service, moderator: Person) -> None:
    seller, buyer = service.person("carla", Role.SELLER), service.person("dora")
    path = on_offer(seller, moderator, title="Dulcimer letters", summary="Forbidden xylophones", price="0")
    bought = buy(buyer, path)
    eventually(lambda: owned(buyer, "xylophones") == [bought])
    service.person("rita").post(f"{path}/reports", {"reason": "copied", "words": "It is mine."}, expect=201)
    decided(moderator, path.rpartition("/")[2], "report", "suspend", "copied")
    eventually(lambda: owned(buyer, "xylophones") == [])
    (hit,) = found(buyer, "dulcimer")["items"]
    assert (hit["id"], hit["summary"], hit["tags"]) == (bought, "", [])


def test_a_package_is_found_by_who_has_bought_it(service: Service, moderator: Person) -> None:
    seller, buyer = service.person("petra", Role.SELLER), service.person("dora")
    prompt = seller.post("/prompts", {"name": "Low"}, expect=201)["id"]
    seller.post(f"/prompts/{prompt}/versions", {"content": "Play it."}, expect=201)
    version = drafted(seller, prompt)
    published(seller, version)
    body = {**LISTING, "title": "Euphonium kit", "price": "0", "package_id": version.split("/")[3], "version": "1.0.0"}
    body = {name: value for name, value in body.items() if name not in {"licence", "runs"}}
    listing = seller.post("/marketplace/package-listings", body, expect=201)["id"]
    seller.post(f"/marketplace/listings/{listing}/submit")
    decided(moderator, listing, "review", "approve", "meets_guidelines")
    bought = buy(buyer, f"/marketplace/listings/{listing}")
    eventually(lambda: owned(buyer, "euphonium") == [bought])
    seller.post(f"/marketplace/listings/{listing}/unlist")
    assert owned(buyer, "euphonium") == [bought]
    for scopes, finds in ((["purchases:read"], [bought]), (["packages:read"], [])):
        made = buyer.post("/users/me/api-keys", {"name": "x", "scopes": scopes}, expect=201)
        program = service.person("")
        program.client.headers["authorization"] = f"Bearer {made['secret']}"
        assert owned(program, "euphonium") == finds
