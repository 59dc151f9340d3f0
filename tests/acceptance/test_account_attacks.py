"""What somebody with bad intentions does to accounts over HTTP: hostile values, and many requests at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually
from tests.support.service import DATABASE, Service, assert_problem, serving

HANDLES = {
    "Cyrillic": "аdmin",
    "full width": "ａｄｍｉｎ",
    "a null byte": "ada\0",
    "an override": "ada\u202egpj",
    "a zero width joiner": "ada\u200dx",
    "a lone surrogate": "ada\ud800",
    "a way out": "../me",
    "a slash": "a/b",
    "an operator": "$where",
    "a dot": ".",
    "a space": "ada lovelace",
    "a line": "ada\r\nx-admin: 1",
    "nothing": "",
    "a long one": "a" * 10_000,
    "one of the house": "promptforge-support",
    "one that looks like the house": "pr0mptf0rge",
    "an id": "usr_01k8y3w5q2m7t9x4c6v1b8n0ra",
}
PROFILES: dict[str, object] = {
    "a name of marks": {"display_name": "a" + "\u0301" * 500},
    "a name that turns round": {"display_name": "Ada \u202egnp.exe"},
    "a name of nothing seen": {"display_name": "\u200b\u200b"},
    "a name of joiners": {"display_name": "\u200d\u200c \u200d"},
    "a long bio": {"bio": "x" * 100_000},
    "a bio with a null byte": {"bio": "a\0b"},
    "a bio that is none": {"bio": {"$ne": None}},
    "a link that runs": {"links": ["javascript:alert(1)"]},
    "a link without TLS and with a password": {"links": ["http://user:secret@example.com"]},
    "an avatar that is data": {"avatar_url": "data:text/html,<script>alert(1)</script>"},
    "a thousand links": {"links": [f"https://example.com/{n}" for n in range(1000)]},
    "a role": {"roles": ["admin"]},
    "somebody else's id": {"id": "usr_01k8y3w5q2m7t9x4c6v1b8n0ra"},
    "a suspension": {"suspended": False},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("accounts"), ACCOUNT_DELETION_DAYS="0") as started:
        yield started


@pytest.fixture(scope="module")
def eve(service: Service) -> Person:
    return service.person("eve")


def sent(person: Person, body: str) -> httpx.Response:
    return person.client.patch("/users/me", content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("name", HANDLES)
def test_a_hostile_handle_is_refused_and_nobodys(eve: Person, name: str) -> None:
    answer = sent(eve, json.dumps({"handle": HANDLES[name]}))  # a surrogate goes as an escape
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert eve.get("/users/me")["handle"] is None


@pytest.mark.parametrize("name", PROFILES)
def test_a_hostile_profile_is_refused(eve: Person, name: str) -> None:
    answer = eve.client.patch("/users/me", json=PROFILES[name])
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_markup_is_text(eve: Person) -> None:
    bio = "<script>alert(1)</script> {{7*7}} ${x} %s"
    eve.call("PATCH", "/users/me", {"bio": bio, "handle": "eve-of-tests"}, expect=200)
    answer = eve.client.get("/users/eve-of-tests")
    assert answer.json()["bio"] == bio
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def at_once(sends: list[Callable[[], httpx.Response]]) -> Counter[tuple[int, str | None]]:
    with ThreadPoolExecutor(len(sends)) as pool:
        answers = list(pool.map(lambda send: send(), sends))
    return Counter((one.status_code, one.json().get("code")) for one in answers)


def state_of(service: Service, user_id: str) -> str | None:
    with service.database() as client:
        row = client[DATABASE]["account_deletions"].find_one({"_id": user_id})
    return None if row is None else str(row["state"])


def test_a_second_click_and_a_change_of_mind_at_the_moment_it_is_due_end_in_one_state(service: Service) -> None:
    """Deleting, cancelling and the schedule at once: closed for good, or as if nothing had been asked for."""
    operator = service.person("olga", Role.OPERATOR)
    for number in range(4):
        ada = service.person(f"ada-{number}")
        user_id = ada.get("/users/me")["id"]
        ada.call("DELETE", "/users/me", None, expect=202)
        sends = [lambda: ada.client.post("/users/me/deletion/cancel")] * 4  # noqa: B023  # called at once
        sends += [lambda: operator.client.post("/jobs/schedules/close-accounts/trigger")] * 2
        sends += [lambda: ada.client.delete("/users/me")] * 2  # noqa: B023
        sends += [lambda: ada.client.post("/users/me/export")] * 4  # noqa: B023
        outcomes = at_once(sends)
        assert not any(status >= 500 for status, _ in outcomes), outcomes
        assert {code for _, code in outcomes} <= {None, "nothing_to_cancel", "account_closed"}, outcomes
        eventually(lambda: not _pending(service))
        if state_of(service, user_id) == "cancelled":
            assert ada.get("/users/me")["id"] == user_id
        elif state_of(service, user_id) == "closing":
            assert_problem(eventually(lambda: _refused(ada)), 403, "account_closed")  # noqa: B023


def _pending(service: Service) -> bool:
    with service.database() as client:
        wanted = {"kind": {"$in": ["accounts.CloseDueAccounts", "accounts.DeleteAccount"]}}
        states = {"state": {"$in": ["available", "running"]}}
        return client[DATABASE]["jobs"].count_documents({**wanted, **states}) > 0


def _refused(person: Person) -> httpx.Response | None:
    answer = person.client.get("/users/me")
    return answer if answer.status_code != 200 else None


def test_an_export_beside_the_erasure_leaves_no_file(service: Service) -> None:
    """Asked for just before: whichever is first, nothing of it stays."""
    operator, mia = service.person("olga", Role.OPERATOR), service.person("mia")
    user_id = mia.get("/users/me")["id"]
    mia.call("DELETE", "/users/me", None, expect=202)
    operator.post("/jobs/schedules/close-accounts/trigger", {}, expect=202)
    mia.client.post("/users/me/export")
    eventually(lambda: state_of(service, user_id) == "closing")
    with service.database() as client:
        client[DATABASE]["account_deletions"].update_one({"_id": user_id}, [{"$set": {"due_at": "$requested_at"}}])
    operator.post("/jobs/schedules/close-accounts/trigger", {}, expect=202)
    eventually(lambda: state_of(service, user_id) == "erased")
    with service.database() as client:
        database = client[DATABASE]

        def left() -> set[str]:
            named = {row for one in database["personal_exports"].find({}) for row in one["file_ids"]}
            return {row["files_id"] for row in database["files.chunks"].find({}, {"files_id": 1})} - named

        # What was being written meanwhile goes when its writer sees that.
        assert eventually(lambda: not left() or None), "a file that nobody has"
        assert database["personal_exports"].count_documents({"_id": user_id}) == 0


def test_what_is_anothers_about_an_account_is_not_to_be_had(service: Service, eve: Person) -> None:
    noa = service.person("noa")
    user_id = noa.get("/users/me")["id"]
    noa.post("/users/me/export", {}, expect=202)
    for path in ("/users/me/export", "/users/me/export/file", "/users/me/deletion"):
        assert_problem(eve.client.get(path), 404, "not_found")
    for path in (f"/ops/users/{user_id}", "/ops/users"):
        assert_problem(eve.client.get(path), 403, "forbidden")
    for verb in ("suspend", "reinstate"):
        answer = eve.client.post(f"/ops/users/{user_id}/{verb}", json={"reason": "Because I can"})
        assert_problem(answer, 403, "forbidden")
