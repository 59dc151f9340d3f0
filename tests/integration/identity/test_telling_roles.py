"""Roles that are decided here, against the real Firebase Auth emulator: what becomes of its claims, and of tokens.

Between the service and the emulator is a way on which answers can be lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.cutting import Way, way_to
from tests.support.firebase import PROJECT, AuthEmulator, SignedIn, auth_emulator
from tests.support.running import eventually
from tests.support.service import DATABASE, Service, assert_problem, serving

UPDATE = "accounts:update"
PAUSE, RESUME = "/jobs/queues/default/pause", "/jobs/queues/default/resume"


@dataclass(frozen=True, slots=True)
class House:
    firebase: AuthEmulator
    way: Way
    service: Service

    def send(self, who: SignedIn, method: str, path: str, body: Any = None) -> httpx.Response:  # Any: JSON
        headers = {"authorization": f"Bearer {who.token}"}
        return self.service.visitor.request(method, f"/api/v1{path}", json=body, headers=headers)

    def newcomer(self, *roles: Role) -> tuple[SignedIn, str]:
        """Somebody with these roles in their claims, and their internal id."""
        person = self.firebase.sign_up(f"{secrets.token_hex(6)}@example.com")
        if roles:
            self.firebase.set_roles(person.uid, *roles)
            person = self.firebase.sign_in(person.email)
        return person, self.send(person, "GET", "/users/me").json()["id"]

    def decide(self, user_id: str, roles: list[str], seen: list[str]) -> None:
        admin, _ = self.newcomer(Role.ADMIN)
        body = {"roles": roles, "expected": seen, "reason": "A test of roles"}
        answer = self.send(admin, "PUT", f"/ops/users/{user_id}/roles", body)
        assert answer.status_code == 200, answer.text

    def job(self, user_id: str) -> dict[str, Any]:  # Any: a document
        with self.service.database() as client:
            wanted = {"kind": "users.MirrorRoles", "payload.user_id": user_id}
            return client[DATABASE]["jobs"].find_one(wanted, sort=[("_id", -1)]) or {}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with auth_emulator() as firebase, way_to(firebase.host) as way:
        settings = {
            "FIREBASE_AUTH_EMULATOR_HOST": way.host,
            "FIREBASE_PROJECT_ID": PROJECT,
            "ACCOUNT_DELETION_DAYS": "0",
        }
        with serving(tmp_path_factory.mktemp("house"), **settings) as service:
            yield House(firebase, way, service)


def told(house: House, uid: str) -> Any:  # Any: JSON claims
    return house.firebase.claims(uid).get("roles")


def test_the_claims_follow_and_those_of_others_stay(house: House) -> None:
    ada, user_id = house.newcomer(Role.SELLER)
    house.firebase.set_claims(ada.uid, roles=["seller"], plan="gold", flags={"beta": True})
    house.decide(user_id, ["moderator"], ["seller"])
    eventually(lambda: told(house, ada.uid) == ["user", "moderator"])
    assert house.firebase.claims(ada.uid) == {
        "plan": "gold",
        "flags": {"beta": True},
        "roles": ["user", "moderator"],
    }


def test_claims_that_are_written_afterwards_give_nothing_back(house: House) -> None:
    eve, user_id = house.newcomer(Role.OPERATOR)
    assert [house.send(eve, "POST", one).status_code for one in (PAUSE, RESUME)] == [200, 200]
    house.decide(user_id, [], ["operator"])
    assert_problem(house.send(eve, "POST", PAUSE), 403, "forbidden")
    eventually(lambda: told(house, eve.uid) == ["user"])
    house.firebase.set_roles(eve.uid, Role.OPERATOR, Role.ADMIN)
    for token in (eve, house.firebase.sign_in(eve.email)):
        assert_problem(house.send(token, "POST", PAUSE), 403, "forbidden")
        assert house.send(token, "GET", "/users/me").json()["roles"] == ["user"]


def test_while_firebase_does_not_answer_the_roles_count_and_it_is_asked_again(house: House) -> None:
    olga, user_id = house.newcomer()
    admin, _ = house.newcomer(Role.ADMIN)
    body = {"roles": ["operator"], "expected": [], "reason": "A test of roles"}
    house.way.lost = UPDATE
    try:
        assert house.send(admin, "PUT", f"/ops/users/{user_id}/roles", body).status_code == 200
        assert [house.send(olga, "POST", one).status_code for one in (PAUSE, RESUME)] == [200, 200]
        failed = eventually(lambda: (job := house.job(user_id)).get("errors") and job)
        assert failed["errors"][-1]["error"] == "identity_unavailable"
    finally:
        house.way.lost = None
    eventually(lambda: house.job(user_id)["state"] == "completed")
    assert told(house, olga.uid) == ["user", "operator"]


def test_who_leaves_and_comes_back_has_no_roles_from_before(house: House) -> None:
    mia, user_id = house.newcomer(Role.MODERATOR)
    house.firebase.set_claims(mia.uid, roles=["moderator"], plan="gold")
    assert house.send(mia, "DELETE", "/users/me").status_code == 202
    operator, _ = house.newcomer(Role.OPERATOR)

    def come_by(state: str) -> bool:
        with house.service.database() as client:
            deletions = client[DATABASE]["account_deletions"]
            deletions.update_one({"_id": user_id}, [{"$set": {"due_at": "$requested_at"}}])
            house.send(operator, "POST", "/jobs/schedules/close-accounts/trigger", {})
            return bool(eventually(lambda: deletions.find_one({"_id": user_id}))["state"] == state)

    eventually(lambda: come_by("done"), seconds=120)
    assert house.firebase.claims(mia.uid) == {"plan": "gold"}
    house.firebase.enable(mia.uid)
    again = house.firebase.sign_in(mia.email)
    back = eventually(lambda: (said := house.send(again, "GET", "/users/me")).status_code == 200 and said.json())
    assert (back["id"] == user_id, back["roles"]) == (False, ["user"])
