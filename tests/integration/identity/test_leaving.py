"""The last step of a deletion, against the real Firebase Auth emulator: the account there is disabled, for good.

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


@dataclass(frozen=True, slots=True)
class Leaving:
    firebase: AuthEmulator
    way: Way
    service: Service

    def send(self, who: SignedIn, method: str, path: str, body: Any = None) -> httpx.Response:  # Any: JSON
        headers = {"authorization": f"Bearer {who.token}"}
        return self.service.visitor.request(method, f"/api/v1{path}", json=body, headers=headers)

    def newcomer(self) -> SignedIn:
        return self.firebase.sign_up(f"{secrets.token_hex(6)}@example.com")

    def come_by(self) -> None:
        """What is due is made due now, and the schedule comes by."""
        with self.service.database() as client:
            client[DATABASE]["account_deletions"].update_many(
                {"state": {"$in": ["scheduled", "closing"]}}, [{"$set": {"due_at": "$requested_at"}}]
            )
        operator = self.newcomer()
        self.firebase.set_roles(operator.uid, Role.OPERATOR)
        operator = self.firebase.sign_in(operator.email)
        answer = self.send(operator, "POST", "/jobs/schedules/close-accounts/trigger", {})
        assert answer.status_code == 202, answer.text

    def stored(self, collection: str, **wanted: object) -> dict[str, Any]:  # Any: a document
        with self.service.database() as client:
            found = client[DATABASE][collection].find_one(wanted, sort=[("_id", -1)])
        return found or {}

    def failed_job(self) -> dict[str, Any]:  # Any: a document
        """The deletion's, after an attempt that failed."""
        wanted = {"kind": "accounts.DeleteAccount", "state": "available", "errors.0": {"$exists": True}}
        found: dict[str, Any] = eventually(lambda: self.stored("jobs", **wanted))
        return found

    def closing(self) -> tuple[SignedIn, str]:
        """Somebody who has left, and whose data are not erased yet."""
        person = self.newcomer()
        user_id = self.send(person, "GET", "/users/me").json()["id"]
        assert self.send(person, "DELETE", "/users/me").status_code == 202
        self.come_by()
        eventually(lambda: self.stored("account_deletions", _id=user_id)["state"] == "closing")
        job = f"account.deletion:{user_id}"  # while it runs there is no other, and it has read when the rest is due
        eventually(lambda: self.stored("jobs", unique_key=job).get("state") == "completed")
        return person, user_id


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaving]:
    with auth_emulator() as firebase, way_to(firebase.host) as way:
        settings = {
            "FIREBASE_AUTH_EMULATOR_HOST": way.host,
            "FIREBASE_PROJECT_ID": PROJECT,
            "ACCOUNT_DELETION_DAYS": "0",
        }
        with serving(tmp_path_factory.mktemp("leaving"), **settings) as service:
            yield Leaving(firebase, way, service)


def refused_sign_in(firebase: AuthEmulator, email: str) -> str:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        firebase.sign_in(email)
    message: str = refused.value.response.json()["error"]["message"]
    return message


def test_who_has_left_cannot_sign_in_at_firebase_any_more(leaving: Leaving) -> None:
    person, user_id = leaving.closing()
    leaving.come_by()
    eventually(lambda: leaving.stored("account_deletions", _id=user_id)["state"] == "erased")
    assert refused_sign_in(leaving.firebase, person.email) == "USER_DISABLED"
    assert_problem(leaving.send(person, "GET", "/users/me"), 403, "account_closed")  # the token is good for an hour
    assert leaving.stored("account_deletions", _id=user_id)["uid"] is None


def test_an_answer_that_was_lost_is_asked_for_again_and_meanwhile_nothing_personal_waits(leaving: Leaving) -> None:
    """The emulator has done it, and the service does not know: disabling again changes nothing, and is the way out."""
    person, user_id = leaving.closing()
    leaving.way.lost = UPDATE
    try:
        leaving.come_by()
        failed = leaving.failed_job()
        assert leaving.way.arrived
        assert refused_sign_in(leaving.firebase, person.email) == "USER_DISABLED"
        assert failed["errors"][-1]["error"] == "identity_unavailable", "operators see what it waits for"
        assert leaving.stored("account_deletions", _id=user_id)["state"] == "closing"
        row = leaving.stored("users", _id=user_id)
        assert (row["email"], row["display_name"], row["uid"]) == (None, "Deleted user", person.uid)
    finally:
        leaving.way.lost = None
    eventually(lambda: leaving.stored("account_deletions", _id=user_id)["state"] == "erased")
    assert leaving.stored("users", _id=user_id)["uid"] == person.uid, "a day longer"


def test_an_account_that_is_gone_at_firebase_is_as_good_as_disabled(leaving: Leaving) -> None:
    person, user_id = leaving.closing()
    leaving.firebase.delete(person.uid)
    leaving.come_by()
    eventually(lambda: leaving.stored("account_deletions", _id=user_id)["state"] == "erased")


def test_a_job_that_was_given_up_is_followed_by_another_one(leaving: Leaving) -> None:
    """As after a hundred attempts, of which the last ones are an hour apart: the schedule does not forget."""
    _, user_id = leaving.closing()
    leaving.way.lost = UPDATE
    try:
        leaving.come_by()
        failed = leaving.failed_job()
        with leaving.service.database() as client:
            dead = {"$set": {"state": "dead"}, "$unset": {"due_at": ""}}
            client[DATABASE]["jobs"].update_one({"_id": failed["_id"]}, dead)
    finally:
        leaving.way.lost = None
    leaving.come_by()
    eventually(lambda: leaving.stored("account_deletions", _id=user_id)["state"] == "erased")
    assert leaving.stored("jobs", _id=failed["_id"]) == {}, "it tells of the person, and goes with the rest"
