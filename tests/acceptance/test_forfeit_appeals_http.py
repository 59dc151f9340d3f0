"""Appeals against forfeited commissions over HTTP: once, in time, by whose they are, and decided by somebody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.partner_setups import APPEAL, approved, decide
from tests.support.running import Person, eventually, fund, jobs_wait, published_listing, verified_ledger
from tests.support.service import DATABASE, Service, assert_problem, serving

SETTLED_AT_ONCE = {"SETTLEMENT_DAYS": "0", "SETTLEMENT_DAYS_NEW_SELLER": "0"}
FORFEIT = {"decision": "forfeit", "reason": "The clicks are a program's.", "reason_code": "suspicious_traffic"}
REVERSE = {"decision": "reverse", "reason": "They are people from a talk.", "reason_code": "earned"}
UPHOLD = {"decision": "uphold", "reason": "Nothing of it is new.", "reason_code": "unchanged"}
WORDS = {"words": APPEAL}
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("forfeits"), ACCOUNT_DELETION_DAYS="0", **SETTLED_AT_ONCE) as started:
        yield started


@pytest.fixture(scope="module")
def admin(service: Service) -> Person:
    """Who suspends and forfeits."""
    return service.person("amara", Role.ADMIN)


@pytest.fixture(scope="module")
def other(service: Service) -> Person:
    found = service.person("osei", Role.ADMIN)
    found.get("/users/me")
    return found


@pytest.fixture(scope="module")
def listing(service: Service) -> str:
    seller, moderator = service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR)
    return published_listing(service, seller, moderator, name="Sold", price="100")


@dataclass(frozen=True, slots=True)
class Forfeited:
    """A partner whose commission of one settled sale was forfeited."""

    person: Person
    id: str
    purchase: str

    @property
    def earnings(self) -> str:
        return f"/partnerships/{self.id}/earnings"

    @property
    def appeal(self) -> str:
        return f"{self.earnings}/freezes/0/appeal"

    @property
    def decision(self) -> str:
        return f"{self.appeal}/decision"

    def freeze(self) -> dict[str, Any]:
        (found,) = self.person.get(self.earnings)["freezes"]
        return dict(found)

    def stand(self) -> tuple[str, str, str]:
        found = self.person.get(self.earnings)
        return found["pending"], found["frozen"], found["earned"]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.person.get("/notifications?limit=100")["items"] if one["kind"] == kind]


Forfeits = Callable[[], Forfeited]


@pytest.fixture
def forfeits(service: Service, admin: Person, listing: str) -> Forfeits:
    def make() -> Forfeited:
        number = next(_NUMBERS)
        pat, bruno, code = service.person(f"pat-{number}"), service.person(f"bruno-{number}"), f"review-{number}-of-pat"
        partner_id = approved(pat, admin)
        pat.post(f"/partnerships/{partner_id}/codes", {"code": code}, expect=201)
        visited = service.visitor.get(f"/r/{code}", follow_redirects=False)
        (token,) = parse_qs(urlsplit(visited.headers["location"]).query)["referral"]
        bruno.post("/partnerships/attribution", {"tokens": [token]}, expect=201)
        fund(service, bruno)
        path = f"/marketplace/listings/{listing}/purchases"
        operator = service.person("operator", Role.OPERATOR)
        with jobs_wait(operator):
            purchase = bruno.post(path, {"expected_price": "100"}, expect=201)["id"]
            decide(admin, partner_id, "suspend", "under_review")
        operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        made = Forfeited(pat, partner_id, purchase)
        assert made.stand() == ("0", "3", "0")
        admin.post(f"{made.earnings}/freezes/0/decision", FORFEIT)
        eventually(lambda: made.freeze()["forfeited"] == "3")
        return made

    return make


def assert_whole(service: Service) -> None:
    report = verified_ledger(service.person("operator", Role.OPERATOR))
    assert (report["ok"], report["violations"]) == (True, [])


def test_a_forfeiture_is_told_appealed_reversed_and_collected(
    service: Service, admin: Person, other: Person, forfeits: Forfeits
) -> None:
    one = forfeits()
    (told,) = eventually(lambda: one.told("partnership.earnings_decided"))
    until = one.freeze()["appeal_until"]
    assert "Why (suspicious_traffic): " in told["body"]
    assert f"POST {one.appeal}, until {until[:10]}" in told["body"]
    appealed = one.person.post(one.appeal, WORDS)["freezes"][0]
    assert (appealed["appeal"], appealed["appeal_until"], appealed["state"]) == (APPEAL, None, "forfeited")
    waiting = other.get("/partnerships/freezes?appealed=true")["items"]
    assert [(found["partner_id"], found["term"], found["forfeited"]) for found in waiting] == [(one.id, 0, "3")]
    assert other.get(f"{one.earnings}/review")["freezes"][0]["appeal"] == APPEAL
    eventually(lambda: "partnership.earnings_appealed" in [x["kind"] for x in other.get("/notifications")["items"]])
    for answer in (REVERSE, UPHOLD):
        assert_problem(admin.client.post(one.decision, json=answer), 403, "own_decision")
    wrong = {**UPHOLD, "reason_code": "earned"}
    assert_problem(other.client.post(one.decision, json=wrong), 422, "invalid_request")
    decided = other.post(one.decision, REVERSE)["freezes"][0]
    assert (decided["state"], decided["answer"], decided["answer_code"]) == ("released", REVERSE["reason"], "earned")
    eventually(lambda: one.stand() == ("0", "0", "3"))
    (heard,) = eventually(lambda: one.told("partnership.earnings_restored"))
    assert "Why (earned): " in heard["body"]
    totals = one.person.get(f"/partnerships/{one.id}/dashboard?days=1")["totals"]
    assert {name: totals[name] for name in ("promised", "pending", "earned", "forgone", "reversed")} == {
        "promised": "3",
        "pending": "0",
        "earned": "3",
        "forgone": "0",
        "reversed": "0",
    }
    assert other.get("/partnerships/freezes?appealed=true")["items"] == []
    assert one.person.post(f"{one.earnings}/collect")["amount"] == "3"
    assert_whole(service)


def test_what_is_upheld_is_final(service: Service, other: Person, forfeits: Forfeits) -> None:
    one = forfeits()
    one.person.post(one.appeal, WORDS)
    other.post(one.decision, UPHOLD)
    freeze = one.freeze()
    assert (freeze["state"], freeze["forfeited"], freeze["answer_code"]) == ("forfeited", "3", "unchanged")
    (heard,) = eventually(lambda: one.told("partnership.earnings_upheld"))
    assert "That is final." in heard["body"]
    assert_problem(one.person.client.post(one.appeal, json=WORDS), 409, "nothing_to_appeal")
    assert_problem(other.client.post(one.decision, json=REVERSE), 409, "freeze_decided")
    assert one.stand() == ("0", "0", "0")
    assert_whole(service)


def test_an_appeal_is_once_in_time_in_words_and_of_whose_it_is(
    service: Service, admin: Person, other: Person, forfeits: Forfeits
) -> None:
    one = forfeits()
    stranger = service.person("stranger")
    stranger.get("/users/me")
    assert_problem(service.visitor.post(f"/api/v1{one.appeal}", json=WORDS), 401, "unauthenticated")
    assert_problem(stranger.client.post(one.appeal, json=WORDS), 404, "not_found")
    assert_problem(admin.client.post(one.appeal, json=WORDS), 404, "not_found")
    assert_problem(one.person.client.post(f"{one.earnings}/freezes/1/appeal", json=WORDS), 404, "not_found")
    assert_problem(one.person.client.post(one.appeal, json={"words": "No."}), 422, "invalid_request")
    assert_problem(one.person.client.post(one.decision, json=REVERSE), 403, "forbidden")
    assert_problem(other.client.post(one.decision, json=REVERSE), 409, "nothing_to_appeal")
    key = one.person.post("/users/me/api-keys", {"name": "x", "scopes": ["partnerships:read"]}, expect=201)["secret"]
    program = {"Authorization": f"Bearer {key}"}
    assert_problem(one.person.client.post(one.appeal, json=WORDS, headers=program), 403, "scope_missing")
    _set_appeal_until(service, one, datetime.now(UTC) - timedelta(seconds=1))
    late = assert_problem(one.person.client.post(one.appeal, json=WORDS), 409, "appeal_too_late")
    assert late["appeal_until"] == one.freeze()["appeal_until"].replace("Z", "+00:00")
    _set_appeal_until(service, one, datetime.now(UTC) + timedelta(days=1))
    assert _at_once([partial(one.person.client.post, one.appeal, json=WORDS)] * 10) == {
        "done": 1,
        "appealed_already": 9,
    }
    other.post(one.decision, UPHOLD)


def _set_appeal_until(service: Service, one: Forfeited, moment: datetime) -> None:
    with service.database() as client:
        changed = {"$set": {"appeal_until": moment}}
        client[DATABASE]["ledger_freezes"].update_one({"partner_id": one.id}, changed)


def _at_once(asks: list[Callable[[], httpx.Response]]) -> Counter[str]:
    def code(ask: Callable[[], httpx.Response]) -> str:
        answer = ask()
        return "done" if answer.status_code == 200 else str(answer.json()["code"])

    with ThreadPoolExecutor(len(asks)) as pool:
        return Counter(pool.map(code, asks))


def test_who_is_suspended_appeals_and_gets_it_once_they_are_not(
    service: Service, admin: Person, other: Person, forfeits: Forfeits
) -> None:
    one = forfeits()
    user_id = one.person.get("/users/me")["id"]
    admin.post(f"/ops/users/{user_id}/suspend", {"reason": "A test of suspensions"})
    one.person.post(one.appeal, WORDS)
    other.post(one.decision, REVERSE)
    eventually(lambda: one.freeze()["forfeited"] == "0")
    assert one.stand() == ("3", "0", "0"), "it waits as every commission of a suspended account does"
    assert_whole(service)
    admin.post(f"/ops/users/{user_id}/reinstate", {"reason": "It was a mistake"})
    operator = service.person("operator", Role.OPERATOR)

    def earned() -> bool:
        operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        return one.stand() == ("0", "0", "3")

    eventually(earned)
    assert_whole(service)


def test_of_two_administrators_and_many_clicks_one_decides(service: Service, other: Person, forfeits: Forfeits) -> None:
    one, third = forfeits(), service.person("third", Role.ADMIN)
    one.person.post(one.appeal, WORDS)
    answers = [(person, body) for person, body in ((other, REVERSE), (third, UPHOLD))] * 10
    outcomes = _at_once([partial(person.client.post, one.decision, json=body) for person, body in answers])
    assert outcomes == {"done": 10, "freeze_decided": 10}, "each click of the one who decided hears how it stands"
    reversed_ = one.freeze()["state"] == "released"
    eventually(lambda: one.stand() == ("0", "0", "3" if reversed_ else "0"))
    with service.database() as client:
        journals = client[DATABASE]["ledger_journals"]
        sale = {"kind": "commission_restore", "refs.sale": f"purchase:{one.purchase}"}
        assert journals.count_documents(sale) == (1 if reversed_ else 0)
        assert (
            client[DATABASE]["audit_log"].count_documents(
                {"target": one.id, "action": {"$in": ["commissions.restored", "commissions.upheld"]}}
            )
            == 1
        )
    kinds = ("partnership.earnings_restored", "partnership.earnings_upheld")
    eventually(lambda: sum(len(one.told(kind)) for kind in kinds) == 1)
    assert_whole(service)


def test_who_has_left_is_owed_no_answer_and_gets_nothing_back(
    service: Service, other: Person, forfeits: Forfeits
) -> None:
    one = forfeits()
    one.person.post(one.appeal, WORDS)
    one.person.call("DELETE", "/users/me?give_up_credits=true", None, expect=202)
    with service.database() as client:
        client[DATABASE]["account_deletions"].update_many({}, [{"$set": {"due_at": "$requested_at"}}])
    service.person("operator", Role.OPERATOR).post("/jobs/schedules/close-accounts/trigger", {}, expect=202)
    eventually(lambda: one.person.client.get("/users/me").status_code == 403)
    assert_problem(other.client.post(one.decision, json=REVERSE), 409, "nothing_to_appeal")
    eventually(lambda: other.get("/partnerships/freezes?appealed=true")["items"] == [])
    assert_problem(other.client.post(one.decision, json=UPHOLD), 409, "nothing_to_appeal")
    assert other.get(f"{one.earnings}/review")["earned"] == "0"
    assert_whole(service)
