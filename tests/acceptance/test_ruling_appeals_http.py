"""Appeals against what was taken, on the running service: a removed review, and a sale that a moderator refunded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, fund, published_listing, verified_ledger
from tests.support.service import Service, assert_problem, serving

WORDS = {"words": "It is as I have said, and I can show it."}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("appeals")) as started:
        yield started
        assert "unexpected_error" not in started.log


@pytest.fixture(scope="module")
def sale(service: Service) -> dict[str, Any]:
    """What Bruno bought of Carla, used and reviewed."""
    carla, mona = service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR)
    bruno = service.person("bruno")
    fund(service, bruno)  # what is paid with a gift does not count
    listing_id = published_listing(service, carla, mona, name="Appealed", price="10")
    path = f"/marketplace/listings/{listing_id}/purchases"
    bought: dict[str, Any] = bruno.post(path, {"expected_price": "10"}, expect=201)
    bruno.get(f"/marketplace/purchases/{bought['id']}")
    return bought


def decided(moderator: Person, kind: str, decision: str, reason: str) -> dict[str, Any]:
    """The one case of this kind, claimed and decided."""
    case: dict[str, Any] = eventually(lambda: moderator.get(f"/moderation/cases?kind={kind}")["items"])[0]
    moderator.post(f"/moderation/cases/{case['id']}/claim")
    body = {"decision": decision, "reason_code": reason, "public_note": "Looked at."}
    moderator.post(f"/moderation/cases/{case['id']}/decision", body)
    return case


def told(person: Person, kind: str, words: str) -> bool:
    def find() -> Any:
        notices = person.get("/notifications?limit=100")["items"]
        return [one for one in notices if one["kind"] == kind and words in one["body"]]

    return bool(eventually(find))


def test_a_removed_review_is_back_after_an_appeal(service: Service, sale: dict[str, Any]) -> None:
    bruno, rita = service.person("bruno"), service.person("rita")
    mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
    path = f"/marketplace/purchases/{sale['id']}/review"
    review = bruno.call("PUT", path, {"stars": 2, "text": "It is slow."}, expect=200)
    report = {"reason": "other", "words": "It is about something else."}
    rita.post(f"/marketplace/reviews/{review['id']}/reports", report, expect=201)
    decided(mona, "review_report", "remove", "off_topic")
    removal = bruno.get(path)["removal"]
    assert (removal["reason_code"], removal["final"]) == ("off_topic", False)
    assert told(bruno, "review.removed", f"appeal until {removal['appeal_until'][:10]}")
    assert_problem(rita.client.post(f"{path}/appeal", json=WORDS), 404, "not_found")
    assert bruno.post(f"{path}/appeal", WORDS)["removal"]["appealed_at"]
    assert_problem(bruno.client.post(f"{path}/appeal", json=WORDS), 409, "already_appealed")
    case = eventually(lambda: mona.get("/moderation/cases?kind=review_appeal")["items"])[0]
    assert_problem(mona.client.post(f"/moderation/cases/{case['id']}/claim"), 403, "own_decision")
    decided(max_, "review_appeal", "restore", "mistaken")
    shown = bruno.get(f"/marketplace/listings/{sale['listing_id']}")["rating"]
    assert shown == {"count": 1, "average": 2.0}
    assert told(bruno, "review.restored", "shown again")


def test_a_seller_is_made_whole_and_the_buyer_keeps_the_refund(service: Service, sale: dict[str, Any]) -> None:
    bruno, carla = service.person("bruno"), service.person("carla", Role.SELLER)
    mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
    bruno.post(f"/marketplace/purchases/{sale['id']}/refund", {"words": "It does not do what it says."})
    decided(mona, "refund", "refund", "does_not_work")
    path = f"/marketplace/sales/{sale['id']}/refund/appeal"
    assert told(carla, "sale.refunded", path)
    assert_problem(service.person("eve", Role.SELLER).client.post(path, json=WORDS), 404, "not_found")
    assert carla.post(path, WORDS)["ruling"]["appealed_at"]
    case = eventually(lambda: mona.get("/moderation/cases?kind=sale_appeal")["items"])[0]
    assert_problem(mona.client.post(f"/moderation/cases/{case['id']}/claim"), 403, "own_decision")
    before = bruno.get("/users/me/credits")["available"]
    decided(max_, "sale_appeal", "compensate", "mistaken")
    assert bruno.get("/users/me/credits")["available"] == before
    assert carla.get("/users/me/credits")["pending"] == "8.5"
    assert told(carla, "sale.compensated", "8.5 credits")
    assert told(bruno, "refund.heard", "you keep the credits")
    assert_problem(carla.client.post(path, json=WORDS), 409, "nothing_to_appeal")
    report = verified_ledger(service.person("otto", Role.OPERATOR))
    assert (report["ok"], report["violations"]) == (True, [])


def test_who_is_no_seller_any_more_appeals_all_the_same(service: Service) -> None:
    """Whoever decides about somebody's roles would otherwise decide about their appeals as well."""
    dora, bert = service.person("dora", Role.SELLER), service.person("bert")
    mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
    admin = service.person("root", Role.ADMIN)
    fund(service, bert)
    sold = published_listing(service, dora, mona, name="Sold by Dora", price="10")
    bought = bert.post(f"/marketplace/listings/{sold}/purchases", {"expected_price": "10"}, expect=201)["id"]
    bert.get(f"/marketplace/purchases/{bought}")
    review = bert.call(
        "PUT", f"/marketplace/purchases/{bought}/review", {"stars": 2, "text": "It is slow."}, expect=200
    )
    reply = f"/marketplace/reviews/{review['id']}/reply"
    dora.call("PUT", reply, {"text": "You are a fool."}, expect=200)
    report = {"reason": "other", "words": "It insults me."}
    bert.post(f"/marketplace/reviews/{review['id']}/reports", report, expect=201)
    decided(mona, "review_report", "remove_reply", "abusive")
    bert.post(f"/marketplace/purchases/{bought}/refund", {"words": "It does not do what it says."})
    decided(mona, "refund", "refund", "does_not_work")
    bert.post(f"/marketplace/listings/{sold}/reports", report, expect=201)
    decided(mona, "report", "suspend", "misleading")
    roles = f"/ops/users/{dora.get('/users/me')['id']}/roles"
    taken = {"roles": [], "expected": ["seller"], "reason": "Sells no more", "reason_code": "task_ends"}
    admin.call("PUT", roles, taken, expect=200)
    eventually(lambda: dora.get("/users/me")["roles"] == ["user"])
    assert dora.get(reply)["removal"]["appeal_until"]
    paths = (f"{reply}/appeal", f"/marketplace/sales/{bought}/refund/appeal", f"/marketplace/listings/{sold}/appeal")
    stranger = service.person("stranger")
    for path in paths:
        assert_problem(stranger.client.post(path, json=WORDS), 404, "not_found")
        dora.post(path, WORDS)
    decided(max_, "reply_appeal", "restore", "mistaken")
    decided(max_, "sale_appeal", "compensate", "mistaken")
    decided(max_, "appeal", "lift", "mistaken")
    assert service.person("").get(f"/marketplace/listings/{sold}")["state"] == "published"
