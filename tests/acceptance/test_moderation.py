"""Moderation as a frontend does it, on the running service: claims, the sealed text, findings, appeals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import LISTING, Person, eventually
from tests.support.service import DATABASE, Service, assert_problem, serving

TEXT = (
    "Summarise {{article}} in five lines for people in a hurry. Name the one thing that is worth reading in full. "
    "Write plainly, without adjectives, and never invent facts. Where the article has no news, say so."
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("moderation")) as started:
        yield started


def submit(seller: Person, moderator: Person, name: str, content: str) -> dict[str, Any]:
    """The listing's case, once the checks have run."""
    prompt = seller.post("/prompts", {"name": name}, expect=201)
    seller.post(f"/prompts/{prompt['id']}/versions", {"content": content}, expect=201)
    listing = seller.post("/marketplace/listings", {**LISTING, "title": name, "prompt_id": prompt["id"]}, expect=201)
    seller.post(f"/marketplace/listings/{listing['id']}/submit")

    def find() -> Any:
        cases = moderator.get("/moderation/cases?kind=review&limit=100")["items"]
        return next((one for one in cases if one["listing_id"] == listing["id"]), None)

    case: dict[str, Any] = eventually(find)
    return case


def decide(moderator: Person, case: dict[str, Any], decision: str, reason: str) -> Any:
    moderator.post(f"/moderation/cases/{case['id']}/claim")
    body = {"decision": decision, "reason_code": reason, "public_note": "Looked at."}
    return moderator.post(f"/moderation/cases/{case['id']}/decision", body)


def test_one_moderator_works_on_a_case_and_alone_sees_its_text(service: Service) -> None:
    carla = service.person("carla", Role.SELLER)
    mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
    case = submit(carla, mona, "Claimed in the open", TEXT)
    path = f"/moderation/cases/{case['id']}"
    assert_problem(mona.client.get(f"{path}/content"), 409, "not_claimed")
    assert mona.post(f"{path}/claim")["claim"]["moderator_id"] == mona.get("/users/me")["id"]
    assert_problem(max_.client.post(f"{path}/claim"), 409, "case_claimed")
    assert_problem(max_.client.get(f"{path}/content"), 409, "not_claimed")
    shown = mona.client.get(f"{path}/content")
    assert shown.json()["content"] == TEXT
    assert "no-store" in shown.headers["cache-control"]
    assert TEXT not in mona.client.get(path).text
    assert [one["id"] for one in max_.get("/moderation/cases?claimed_by=others")["items"]] == [case["id"]]
    queue = {one["kind"]: one for one in max_.get("/moderation/queue")["kinds"]}
    assert (queue["review"]["open"], queue["review"]["claimed"]) == (1, 1)
    assert decide(mona, case, "approve", "meets_guidelines")["state"] == "decided"


def test_a_copy_with_a_key_in_it_has_findings_and_is_decided_by_a_person(service: Service) -> None:
    eve, mona = service.person("eve", Role.SELLER), service.person("mona", Role.MODERATOR)
    key = "sk-proj-aB3dE5fG7hJ9kL1mN2pQ4rS6tU8v"
    case = submit(eve, mona, "A copy", f"{TEXT.lower()}\n{key}")
    path = f"/moderation/cases/{case['id']}"
    findings = eventually(lambda: mona.get(path)["findings"])
    assert {(one["check"], one["severity"]) for one in findings} == {("secrets", "high"), ("near_duplicate", "high")}
    assert key not in mona.client.get(path).text
    assert eve.get(f"/marketplace/listings/{case['listing_id']}")["state"] == "in_review"
    wrong = {"decision": "reject", "reason_code": "meets_guidelines", "public_note": "No."}
    mona.post(f"{path}/claim")
    problem = assert_problem(mona.client.post(f"{path}/decision", json=wrong), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/reason_code"
    decide(mona, case, "reject", "copied")

    def told() -> Any:
        notices = eve.get("/notifications")["items"]
        return next((one for one in notices if one["kind"] == "listing.rejected"), None)

    assert "/appeal" in eventually(told)["body"]


def test_an_appeal_is_for_another_moderator(service: Service) -> None:
    carla = service.person("carla", Role.SELLER)
    mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
    case = submit(carla, mona, "Appealed in the open", "Translate {{text}} into plain French, line by line.")
    decide(mona, case, "reject", "misleading")
    listing = f"/marketplace/listings/{case['listing_id']}"
    carla.post(f"{listing}/appeal", {"words": "It does exactly what it says."})
    appeal = eventually(lambda: mona.get("/moderation/cases?kind=appeal")["items"])[0]
    assert_problem(mona.client.post(f"/moderation/cases/{appeal['id']}/claim"), 403, "own_decision")
    decide(max_, appeal, "approve", "mistaken")
    assert carla.get(listing)["state"] == "published"
    history = max_.get(f"/moderation/cases/{appeal['id']}")["history"]
    assert [one["decision"] for one in history] == ["approve", "reject"]


def test_a_case_counts_people_once_also_beyond_those_whom_it_keeps(service: Service) -> None:
    carla, mona = service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR)
    case = submit(carla, mona, "Reported in the open", "Sort {{lines}} by length.")
    decide(mona, case, "approve", "meets_guidelines")
    listing = f"/marketplace/listings/{case['listing_id']}"
    words = {"reason": "spam", "words": "It is an advertisement."}
    service.person("first").post(f"{listing}/reports", words, expect=201)
    report = eventually(lambda: mona.get("/moderation/cases?kind=report")["items"])[0]
    with service.database() as client:  # as if a thousand had been faster
        many = {"$set": {"brought_by": [f"usr_{number}" for number in range(1000)], "times": 1000}}
        client[DATABASE]["moderation_cases"].update_one({"_id": report["id"]}, many)
    for price in ("24", "23", "22"):
        for name in ("second", "third"):
            service.person(name).post(f"{listing}/reports", words, expect=201)
            service.person(name).post(f"{listing}/reports", words, expect=200)
        carla.call("PATCH", listing, {"price": price}, expect=200)
    operator = service.person("operator", Role.OPERATOR)
    opening = "/jobs?kind=moderation.OpenCase&state="
    eventually(
        lambda: not [one for state in ("available", "running") for one in operator.get(opening + state)["items"]]
    )
    assert mona.get(f"/moderation/cases/{report['id']}")["case"]["times"] == 1002
