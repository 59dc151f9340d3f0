"""An account from the request to delete it to its end, over HTTP, with a process that dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.core.principal import Role
from promptforge.deploy.accounts import HELD
from tests.support.running import Person, eventually, jobs_wait
from tests.support.service import DATABASE, Service, assert_problem, documents, serving

MARK = "canaryheron"
DIES_AT = "account.erased.prompt_versions"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("accounts")
    with serving(directory, ACCOUNT_DELETION_DAYS="0", FAILPOINTS=DIES_AT) as started:
        yield started


@pytest.fixture(scope="module")
def operator(service: Service) -> Person:
    return service.person("olga", Role.OPERATOR)


def look(service: Service) -> dict[str, Any]:
    with service.database() as client:
        rows = list(client[DATABASE]["account_deletions"].find({}))
    return {row["_id"]: row["state"] for row in rows}


def make_due(service: Service) -> None:
    """Waiting for five minutes is what a test can do without."""
    with service.database() as client:
        client[DATABASE]["account_deletions"].update_many({}, [{"$set": {"due_at": "$requested_at"}}])


def come_by(operator: Person) -> None:
    operator.post("/jobs/schedules/close-accounts/trigger", {}, expect=202)


def test_a_deletion_goes_on_where_a_process_died(service: Service, operator: Person) -> None:
    ada = service.person("ada")
    before = ada.get("/users/me")["id"]
    ada.call("PATCH", "/users/me", {"handle": MARK, "bio": MARK}, expect=200)
    prompt = ada.post("/prompts", {"name": MARK}, expect=201)
    ada.post(f"/prompts/{prompt['id']}/versions", {"content": f"Say {MARK}"}, expect=201)
    with jobs_wait(operator):
        asked = ada.call("DELETE", "/users/me", None, expect=202)
        assert asked["state"] == "scheduled"
        assert ada.get("/users/me/deletion") == asked
    come_by(operator)
    eventually(lambda: look(service).get(before) == "closing")
    answer = eventually(lambda: _refusal(ada))
    assert_problem(answer, 403, "account_closed")

    make_due(service)
    come_by(operator)
    assert service.wait() != 0, "it has ended itself, in the middle"
    service.set(FAILPOINTS="")
    service.start()
    come_by(operator)
    eventually(lambda: look(service).get(before) == "erased")

    with service.database() as client:
        everything = documents(client)
    found = {name for name, rows in everything.items() if MARK in str(rows)}
    assert found == set()
    assert everything.keys() <= HELD.keys(), "a collection that says not what it holds of people"
    assert_problem(ada.client.get("/users/me"), 403, "account_closed")
    make_due(service)
    come_by(operator)
    eventually(lambda: look(service).get(before) == "done")
    after = ada.get("/users/me")
    assert after["id"] != before
    assert after["handle"] is None


def _refusal(person: Person) -> Any:  # Any: a response
    answer = person.client.get("/users/me")
    return answer if answer.status_code != 200 else None


def test_a_key_cannot_delete_its_owners_account(service: Service) -> None:
    ivan = service.person("ivan")
    made = ivan.post("/users/me/api-keys", {"name": "x", "scopes": ["profile:read"]}, expect=201)
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert_problem(service.visitor.delete("/api/v1/users/me", headers=headers), 403, "scope_missing")


def test_who_has_asked_may_take_it_back(service: Service, operator: Person) -> None:
    mia = service.person("mia")
    with jobs_wait(operator):
        mia.call("DELETE", "/users/me", None, expect=202)
        assert mia.post("/users/me/deletion/cancel", {}, expect=200)["state"] == "cancelled"
    assert_problem(mia.client.post("/users/me/deletion/cancel", json={}), 409, "nothing_to_cancel")
