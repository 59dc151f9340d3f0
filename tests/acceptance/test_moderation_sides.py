"""Who decides about whom, over HTTP: parties decide nothing and read no secret side, and everybody is heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.acceptance.test_marketplace import case_of, decide
from tests.support.running import LISTING, Person, assert_ledger_whole, eventually, published_listing
from tests.support.service import Service, assert_problem, serving

REPORT = {"reason": "copied", "words": "It is mine, word for word."}
WORDS = {"words": "It is mine, and always was."}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("sides")) as started:
        yield started
        assert_ledger_whole(started)


@pytest.fixture(scope="module")
def mona(service: Service) -> Person:
    return service.person("mona", Role.MODERATOR)


@pytest.fixture(scope="module")
def max_(service: Service) -> Person:
    return service.person("max", Role.MODERATOR)


def path_of(service: Service, seller: Person, moderator: Person, name: str, *, price: str = "0") -> str:
    return f"/marketplace/listings/{published_listing(service, seller, moderator, name=name, price=price)}"


def claim_of(case: Any) -> str:
    return f"/moderation/cases/{case['id']}/claim"


def told(person: Person, kind: str, path: str) -> Any:
    """What somebody was told about this listing."""

    def find() -> Any:
        notices = person.get("/notifications?limit=100")["items"]
        wanted = (kind, path.rpartition("/")[2])
        return next((one for one in notices if (one["kind"], one["subject"].get("listing_id")) == wanted), None)

    return eventually(find)


def test_a_claim_that_is_given_back_is_anyones(service: Service, mona: Person, max_: Person) -> None:
    path = path_of(service, service.person("carla", Role.SELLER), mona, "Given back")
    service.person("rita").post(f"{path}/reports", REPORT, expect=201)
    case = case_of(mona, path, "report")
    mona.post(claim_of(case))
    assert_problem(max_.client.post(claim_of(case)), 409, "case_claimed")
    assert max_.call("DELETE", claim_of(case), expect=200)["claim"] is not None, "it is not his to give back"
    assert mona.call("DELETE", claim_of(case), expect=200)["claim"] is None
    assert max_.post(claim_of(case))["claim"] is not None
    decide(max_, case, "dismiss")


def test_nobody_decides_about_what_is_their_own_and_they_read_no_secret_side(
    service: Service, mona: Person, max_: Person
) -> None:
    both = service.person("both", Role.SELLER, Role.MODERATOR)
    path = path_of(service, both, mona, "Of one who moderates")
    reporter = service.person("reporter", Role.MODERATOR)
    reporter.post(f"{path}/reports", REPORT, expect=201)
    case = case_of(mona, path, "report")
    buyer = service.person("buyer", Role.MODERATOR)
    buyer.post(f"{path}/purchases", {"expected_price": "0"}, expect=201)
    assert_problem(both.client.post(claim_of(case)), 403, "own_case")
    for party in (reporter, buyer):
        assert_problem(party.client.post(claim_of(case)), 403, "interested_party")
    mona.post(claim_of(case))
    body = {"decision": "suspend", "reason_code": "copied", "public_note": "A copy.", "internal_note": "Third time."}
    moderator_id = mona.post(f"/moderation/cases/{case['id']}/decision", body)["decided_by"]
    for party, mine in ((both, True), (reporter, True), (max_, False)):
        shown = party.client.get(f"/moderation/cases/{case['id']}").text
        listed = party.client.get("/moderation/cases?state=decided&kind=report&limit=100").json()["items"]
        row = next(one for one in listed if one["id"] == case["id"])
        assert ("Third time." in shown) is not mine
        assert (moderator_id in shown) is not mine
        assert ("word for word" in shown) is not mine
        assert (row["internal_note"], row["decided_by"]) == ((None, None) if mine else ("Third time.", moderator_id))


def test_who_suspended_does_not_decide_the_appeal_whatever_came_between(
    service: Service, mona: Person, max_: Person
) -> None:
    carla = service.person("carla", Role.SELLER)
    path = path_of(service, carla, mona, "Suspended and changed")
    service.person("rita").post(f"{path}/reports", REPORT, expect=201)
    decide(mona, case_of(mona, path, "report"), "suspend")
    carla.call("PATCH", path, {"title": "A better title"}, expect=200)
    decide(max_, case_of(max_, path, "proposed_change"), "reject")
    carla.post(f"{path}/appeal", WORDS)
    appeal = case_of(max_, path, "appeal")
    assert_problem(mona.client.post(claim_of(appeal)), 403, "own_decision")
    decide(max_, appeal, "lift")
    assert carla.get(path)["state"] == "published"


def test_a_change_is_withdrawn_rejected_and_appealed(service: Service, mona: Person, max_: Person) -> None:
    carla = service.person("carla", Role.SELLER)
    path = path_of(service, carla, mona, "Proposing")
    carla.call("PATCH", path, {"title": "Taken back"}, expect=200)
    assert carla.call("DELETE", f"{path}/proposal", expect=200)["proposal"] is None
    assert_problem(carla.client.delete(f"{path}/proposal"), 409, "no_proposal")
    assert_problem(carla.client.post(f"{path}/proposal/appeal", json=WORDS), 409, "nothing_to_appeal")
    carla.call("PATCH", path, {"title": "Rejected"}, expect=200)
    eventually(lambda: case_of(max_, path, "proposed_change")["revision"] == carla.get(path)["revision"])
    decide(max_, case_of(max_, path, "proposed_change"), "reject")
    assert f"{path}/proposal/appeal" in told(carla, "change.rejected", path)["body"]
    assert carla.post(f"{path}/proposal/appeal", WORDS)["proposal"]["state"] == "in_review"
    case = case_of(mona, path, "proposed_change")
    assert case["reason"] == WORDS["words"]
    assert_problem(max_.client.post(claim_of(case)), 403, "own_decision")
    decide(mona, case, "reject")
    review = carla.get(path)["proposal"]["review"]
    assert (review["final"], review["appeal_until"]) == (True, None)
    assert_problem(carla.client.post(f"{path}/proposal/appeal", json=WORDS), 409, "nothing_to_appeal")


def test_a_reported_review_is_removed_by_a_case_and_in_no_other_way(
    service: Service, mona: Person, max_: Person
) -> None:
    both = service.person("both", Role.SELLER, Role.MODERATOR)
    path = path_of(service, both, mona, "Reviewed")
    bruno = service.funded("bruno", 10)
    bought = bruno.post(f"{path}/purchases", {"expected_price": "0"}, expect=201)
    review = bruno.call(
        "PUT", f"/marketplace/purchases/{bought['id']}/review", {"stars": 1, "text": "Buy mine."}, expect=200
    )
    of_it = f"/marketplace/reviews/{review['id']}"
    both.call("PUT", f"{of_it}/reply", {"text": "It is fine."}, expect=200)
    assert both.call("DELETE", f"{of_it}/reply", expect=200)["reply"] is None
    body = {"reason_code": "off_topic", "public_note": "Because I can."}
    assert both.client.post(f"{of_it}/remove", json=body).status_code == 404
    both.post(f"{of_it}/reports", {"reason": "spam", "words": "It is an advertisement."}, expect=201)
    assert both.post(f"{of_it}/reports", {"reason": "spam", "words": "It is an advertisement."})["review_id"]
    case = case_of(max_, path, "review_report")
    assert_problem(both.client.post(claim_of(case)), 403, "own_case")
    decide(max_, case, "remove")
    assert bruno.get(f"{path}/reviews")["items"] == []
    assert "What you can do" in told(bruno, "review.removed", path)["body"]
    assert "was removed" in told(both, "report.decided", path)["body"]


def test_moderators_see_the_schema_that_a_change_brings(service: Service, mona: Person) -> None:
    carla = service.person("carla", Role.SELLER)
    prompt = carla.post("/prompts", {"name": "With a schema"}, expect=201)
    versions = f"/prompts/{prompt['id']}/versions"
    carla.post(versions, {"content": "Say {{word}} as kindly as you can."}, expect=201)
    draft = carla.post("/marketplace/listings", {**LISTING, "prompt_id": prompt["id"]}, expect=201)
    path = f"/marketplace/listings/{draft['id']}"
    carla.post(f"{path}/submit")
    decide(mona, case_of(mona, path, "review"), "approve")
    schema = {"type": "object", "description": "How to build a pipe bomb"}
    version = {
        "content": "Say {{word}} as kindly as you can.",
        "response_schema": schema,
        "variables": [{"name": "word", "default": "steal passwords"}],
    }
    carla.post(versions, version, expect=201)
    carla.call("PATCH", path, {"version": 2}, expect=200)
    case = case_of(mona, path, "proposed_change")
    findings = eventually(lambda: mona.get(f"/moderation/cases/{case['id']}")["findings"])
    assert "response schema, at /description" in {one["where"] for one in findings}
    mona.post(claim_of(case))
    shown = mona.get(f"/moderation/cases/{case['id']}/content")
    assert (shown["response_schema"], shown["variables"][0]["default"]) == (schema, "steal passwords")
    for words in ("pipe bomb", "steal passwords"):
        assert any(line.startswith("+") and words in line for line in shown["unified"].splitlines())


def test_a_refund_that_is_granted_has_its_reason_everywhere(service: Service, mona: Person) -> None:
    carla = service.person("carla", Role.SELLER)
    path = path_of(service, carla, mona, "Refunded", price="10")
    bianca = service.funded("bianca", 100)
    bought = bianca.post(f"{path}/purchases", {"expected_price": "10"}, expect=201)
    bianca.get(f"/marketplace/purchases/{bought['id']}")
    bianca.post(f"/marketplace/purchases/{bought['id']}/refund", {"words": "It does not work for me."})
    case = case_of(mona, path, "refund")
    mona.post(claim_of(case))
    note = "It answers in French, whatever is asked. " * 40 + "The end."
    body = {"decision": "refund", "reason_code": "does_not_work", "public_note": note}
    mona.post(f"/moderation/cases/{case['id']}/decision", body)
    for person, kind in ((bianca, "purchase.refunded"), (carla, "sale.refunded")):
        notice = told(person, kind, path)
        assert notice["subject"]["reason_code"] == "does_not_work"
        assert note in notice["body"]
        assert "What you can do" in notice["body"]
    refund = next(one["refund"] for one in bianca.get("/marketplace/purchases")["items"] if one["id"] == bought["id"])
    assert (refund["state"], refund["reason_code"], refund["note"]) == ("refunded", "does_not_work", note)
