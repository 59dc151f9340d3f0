"""Roles over HTTP, set in one process and counting in another, and set on the command line beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually
from tests.support.service import DATABASE, Service, assert_problem, serving

PAUSE, RESUME = "/jobs/queues/default/pause", "/jobs/queues/default/resume"
REASON = "A test of roles"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("roles")) as started:
        yield started


@pytest.fixture(scope="module")
def other(service: Service) -> Iterator[Service]:
    """Another process on the same database."""
    with serving(service.directory) as started:
        yield started


@pytest.fixture(scope="module")
def admin(service: Service) -> Person:
    person = service.person("root", Role.ADMIN)
    person.get("/users/me")
    return person


def path_of(person: Person) -> str:
    return f"/ops/users/{person.get('/users/me')['id']}/roles"


def put(admin: Person, path: str, roles: Any, expected: Any, **headers: str) -> httpx.Response:  # Any: hostile values
    body = {"roles": roles, "expected": expected, "reason": REASON}
    return admin.client.put(path, json=body, headers=headers)


def test_a_role_counts_at_once_for_commands_of_staff_in_every_process_and_is_told(
    service: Service, other: Service, admin: Person
) -> None:
    olga = other.person("olga")
    path = path_of(olga)
    assert_problem(olga.client.post(PAUSE), 403, "forbidden")
    assert admin.get(path) == {"user_id": path.split("/")[3], "roles": ["user"], "decided": None}
    given = put(admin, path, ["operator"], [])
    assert given.status_code == 200
    assert (given.json()["decided"]["reason"], given.json()["decided"]["reason_code"]) == (REASON, "other")
    assert [olga.client.post(one).status_code for one in (PAUSE, RESUME)] == [200, 200]
    eventually(lambda: olga.get("/users/me")["roles"] == ["user", "operator"])
    told = eventually(lambda: [one for one in olga.get("/notifications")["items"] if "roles" in one["kind"]])
    assert REASON in told[0]["body"]
    assert told[0]["subject"] == {"reason_code": "other"}
    taken = {"roles": [], "expected": ["operator"], "reason": REASON, "reason_code": "task_ends"}
    assert admin.client.put(path, json=taken).json()["decided"]["reason_code"] == "task_ends"
    assert admin.client.put(path, json=taken).status_code == 200, "its answer was lost"
    assert_problem(admin.client.put(path, json={**taken, "reason_code": "misused"}), 409, "roles_changed")
    ended = eventually(lambda: [one for one in olga.get("/notifications")["items"] if "task_ends" in one["body"]])
    assert "Why (task_ends): " in ended[0]["body"]
    assert ended[0]["subject"] == {"reason_code": "task_ends"}
    assert_problem(olga.client.post(PAUSE), 403, "forbidden")
    listed = admin.get(f"{path}/history")["items"]
    assert [(one["before"], one["after"]) for one in listed] == [
        (["user", "operator"], ["user"]),
        (["user"], ["user", "operator"]),
    ]


def test_a_token_that_names_a_role_gives_none_back_whether_it_is_from_before_or_after(
    service: Service, other: Service, admin: Person
) -> None:
    before = other.person("mallory", Role.OPERATOR)
    path = path_of(before)
    assert [before.client.post(one).status_code for one in (PAUSE, RESUME)] == [200, 200]
    assert put(admin, path, [], ["operator"]).status_code == 200
    after = other.person("mallory", Role.OPERATOR, Role.ADMIN)
    for person in (before, after):
        assert_problem(person.client.post(PAUSE), 403, "forbidden")
        assert_problem(person.client.get(path), 403, "forbidden")
        assert person.get("/users/me")["roles"] == ["user"]


def test_a_key_and_those_who_are_no_administrators_set_no_roles(service: Service, admin: Person) -> None:
    ada = service.person("ada", Role.SELLER)
    path = path_of(ada)
    scopes = admin.get("/users/me/api-keys")["available_scopes"]
    secret = admin.post("/users/me/api-keys", {"name": "all", "scopes": scopes}, expect=201)["secret"]
    assert_problem(put(admin, path, [], ["seller"], Authorization=f"Bearer {secret}"), 403, "scope_missing")
    assert_problem(put(ada, path, ["admin"], ["seller"]), 403, "forbidden")
    assert_problem(service.visitor.put(f"/api/v1{path}", json={}), 401, "unauthenticated")
    assert_problem(put(admin, path_of(admin), [], ["admin"]), 409, "not_oneself")
    for unknown in ("usr_01k8y3w5q2m7t9x4c6v1b8n0ra", "me", "$where"):
        assert_problem(put(admin, f"/ops/users/{unknown}/roles", [], []), 404, "not_found")


def test_an_administrator_who_is_suspended_sets_no_roles(service: Service, admin: Person) -> None:
    eve, ada = service.person("eve", Role.ADMIN), service.person("ada")
    path, eves = path_of(ada), eve.get("/users/me")["id"]
    admin.post(f"/ops/users/{eves}/suspend", {"reason": REASON}, expect=200)
    assert_problem(put(eve, path, ["seller"], []), 403, "forbidden")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"roles": ["seller"], "reason": REASON},
        {"roles": ["seller"], "expected": []},
        {"roles": ["emperor"], "expected": [], "reason": REASON},
        {"roles": "admin", "expected": [], "reason": REASON},
        {"roles": {"$set": ["admin"]}, "expected": [], "reason": REASON},
        {"roles": ["admin"] * 1000, "expected": [], "reason": REASON},
        {"roles": [None], "expected": [], "reason": REASON},
        {"roles": ["ADMIN"], "expected": [], "reason": REASON},
        {"roles": ["seller"], "expected": [], "reason": "x\u0000y"},
        {"roles": ["seller"], "expected": [], "reason": "x" * 100_000},
        {"roles": ["seller"], "expected": [], "reason": REASON, "reason_code": "because"},
        {"roles": ["seller"], "expected": [], "reason": REASON, "by": "usr_somebody"},
    ],
)
def test_hostile_values_are_refused(service: Service, admin: Person, body: dict[str, Any]) -> None:
    path = path_of(service.person("zoe"))
    assert_problem(admin.client.put(path, json=body), 422, "invalid_request")
    assert admin.get(path)["decided"] is None


def test_who_has_seen_other_roles_is_told_what_they_are(service: Service, admin: Person) -> None:
    path = path_of(service.person("ida", Role.SELLER))
    tag = admin.client.get(path).headers["etag"]
    problem = assert_problem(put(admin, path, ["moderator"], []), 409, "roles_changed")
    assert problem["roles"] == ["user", "seller"]
    assert put(admin, path, ["moderator"], ["seller"], **{"If-Match": tag}).status_code == 200
    assert_problem(put(admin, path, [], ["moderator"], **{"If-Match": tag}), 412, "precondition_failed")


def test_of_many_administrators_at_once_one_wins_and_the_others_are_told(service: Service, other: Service) -> None:
    path = path_of(service.person("una"))
    admins = [(service, other)[number % 2].person(f"admin-{number}", Role.ADMIN) for number in range(8)]
    for one in admins:
        one.get("/users/me")
    wanted = [[role.value] for role in Role if role is not Role.USER]
    with ThreadPoolExecutor(len(admins)) as pool:
        answers = list(pool.map(lambda n: put(admins[n], path, wanted[n % len(wanted)], []), range(len(admins))))
    codes = Counter(answer.json().get("code", "done") for answer in answers)
    assert codes == {"done": 1, "roles_changed": 7}
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert admins[0].get(path) == won
    assert len(admins[0].get(f"{path}/history")["items"]) == 1


def test_two_administrators_who_remove_each_other_at_once_leave_one(service: Service, other: Service) -> None:
    pair = [service.person("castor", Role.ADMIN), other.person("pollux", Role.ADMIN)]
    paths = [path_of(one) for one in pair]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: put(pair[n], paths[1 - n], [], ["admin"]), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    assert sorted(answer.json().get("code", "done") for answer in answers) == ["done", "forbidden"]


def test_the_command_line_makes_an_administrator(service: Service) -> None:
    nina = service.person("nina")
    user_id = nina.get("/users/me")["id"]
    assert_problem(nina.client.get("/ops/users"), 403, "forbidden")
    shown = service.command("roles", "show", "nina")
    assert (shown.returncode, user_id in shown.stdout, "sign-in" in shown.stdout) == (0, True, True)
    made = service.command("roles", "set", "nina", "--role", "admin", "--reason", "Runs the place")
    assert made.returncode == 0, made.stderr
    assert "decided" in made.stdout
    with service.database() as client:
        assert client[DATABASE]["users"].find_one({"_id": user_id})["roles"] == ["user", "admin"]  # type: ignore[index]  # it is there
    path = path_of(service.person("otis"))
    assert put(nina, path, ["seller"], []).status_code == 200
    eventually(lambda: [one for one in nina.get("/notifications")["items"] if "Runs the place" in one["body"]])
    assert service.command("roles", "set", user_id, "--reason", "Leaves", "--reason-code", "task_ends").returncode == 0
    assert "task_ends" in service.command("roles", "show", user_id).stdout
    assert_problem(put(nina, path, [], ["seller"]), 403, "forbidden")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("set", "nobody-at-all", "--role", "admin", "--reason", REASON), 1, "signs in once"),
        (("set", "nobody-at-all", "--role", "emperor", "--reason", REASON), 2, "emperor"),
        (("set", "root", "--role", "admin"), 2, "reason"),
        (("set", "root", "--role", "admin", "--reason", "x"), 1, "reason"),
        (("set", "root", "--role", "admin", "--reason", REASON, "--reason-code", "because"), 1, "reason_code"),
        (("show", "nobody-at-all"), 1, "signs in once"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(
    service: Service, admin: Person, arguments: tuple[str, ...], status: int, says: str
) -> None:
    ended = service.command("roles", *arguments)
    assert (ended.returncode, says in ended.stderr, "Traceback" in ended.stderr) == (status, True, False), ended.stderr
