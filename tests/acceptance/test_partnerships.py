"""Partnerships and their apps over HTTP, as a frontend and a partner's program use them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest

from promptforge.core.credentials import APP_SECRET, APP_TOKEN, Shape
from promptforge.core.principal import Role
from tests.support.partner_setups import APP, APPEAL, APPLICATION, NOTE, PLAN, applied, approved, decide
from tests.support.running import Person, eventually
from tests.support.service import Service, assert_problem, documents, serving

TOKEN = "/api/v1/partnerships/oauth/token"
REVOKE = "/api/v1/partnerships/oauth/revoke"
GRANT = {"grant_type": "client_credentials"}
MANY = 50
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("partnerships")) as started:
        yield started


@pytest.fixture(scope="module")
def admin(service: Service) -> Person:
    return service.person("amara", Role.ADMIN)


@pytest.fixture
def pat(service: Service) -> Person:
    """Somebody new."""
    return service.person(f"pat-{next(_NUMBERS)}")


class Program:
    """A partner's program: it knows its id and secret."""

    def __init__(self, service: Service, made: dict[str, Any]) -> None:
        self.id = made["id"]
        self.secret = made["secret"]
        self._visitor = service.visitor

    def ask(self, secret: str | None = None, **fields: str) -> httpx.Response:
        """For a token, by HTTP Basic."""
        return self._visitor.post(TOKEN, data={**GRANT, **fields}, headers=basic(self.id, secret or self.secret))

    def token(self, **fields: str) -> str:
        answer = self.ask(**fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def revoke(self, token: str, secret: str | None = None, **fields: str) -> httpx.Response:
        return self._visitor.post(
            REVOKE, data={"token": token, **fields}, headers=basic(self.id, secret or self.secret)
        )

    def call(self, token: str, path: str = "/users/me", method: str = "GET", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return self._visitor.request(method, f"/api/v1{path}", headers=headers, **options)


def basic(client_id: str, secret: str) -> dict[str, str]:
    both = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}


def made(service: Service, pat: Person, admin: Person, **changes: Any) -> tuple[str, Program]:
    """A partner with a program."""
    partner_id = approved(pat, admin)
    return partner_id, Program(service, pat.post(f"/partnerships/{partner_id}/apps", {**APP, **changes}, expect=201))


def at_once(calls: list[Callable[[], httpx.Response]]) -> Counter[tuple[int, str]]:
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = [future.result() for future in [pool.submit(call) for call in calls]]
    return Counter((answer.status_code, answer.json().get("code", "")) for answer in answers)


# Applications and decisions


def test_of_fifty_decisions_at_once_one_wins_and_the_others_are_told(pat: Person, admin: Person) -> None:
    partner_id = applied(pat)["id"]
    approval = {"decision": "approve", "reason_code": "good_fit", "commission_bp": 300}
    rejection = {"decision": "reject", "reason_code": "no_fit"}

    def deciding(body: dict[str, Any]) -> Callable[[], httpx.Response]:
        sent = {"version": 1, "note": NOTE, **body}
        return lambda: admin.client.post(f"/partnerships/{partner_id}/decision", json=sent)

    outcomes = at_once([deciding(approval if number % 2 else rejection) for number in range(MANY)])
    assert outcomes == {(200, ""): 1, (409, "partnership_changed"): MANY - 1}
    seen = admin.get(f"/partnerships/{partner_id}/review")
    assert (seen["partnership"]["version"], len(seen["history"])) == (2, 1)
    late = admin.client.post(f"/partnerships/{partner_id}/decision", json={"version": 1, "note": NOTE, **approval})
    problem = assert_problem(late, 409, "partnership_changed")
    assert (problem["state"], problem["version"]) == (seen["partnership"]["state"], 2)
    assert problem["legal_moves"] == seen["legal_decisions"]


def test_of_fifty_applications_of_one_person_at_once_one_is_taken(pat: Person) -> None:
    pat.get("/users/me")
    outcomes = at_once([lambda: pat.client.post("/partnerships", json=APPLICATION)] * MANY)
    assert outcomes == {(201, ""): 1, (409, "partnership_exists"): MANY - 1}
    assert len(pat.get("/partnerships")["items"]) == 1


def test_a_life_from_application_to_end(pat: Person, admin: Person) -> None:
    partner_id = applied(pat)["id"]
    assert partner_id in {one["id"] for one in admin.get("/partnerships/all?limit=100")["items"]}
    illegal = {"version": 1, "decision": "lift", "reason_code": "resolved", "note": NOTE}
    problem = assert_problem(
        admin.client.post(f"/partnerships/{partner_id}/decision", json=illegal), 409, "illegal_move"
    )
    assert (problem["state"], problem["legal_moves"]) == ("applied", ["approve", "reject"])
    decide(admin, partner_id, "approve", "good_fit", commission_bp=250)
    changed = {"version": 2, "commission_bp": 400, "note": NOTE}
    admin.post(f"/partnerships/{partner_id}/commission", changed, expect=200)
    decide(admin, partner_id, "suspend", "suspicious_traffic")
    pat.post(f"/partnerships/{partner_id}/appeal", {"words": APPEAL}, expect=200)
    decide(admin, partner_id, "lift", "mistaken")
    ended = decide(admin, partner_id, "end", "partner_asked", internal_note="By telephone")
    assert [one["event"] for one in ended["history"]] == ["end", "lift", "appeal", "suspend", "commission", "approve"]
    mine = pat.get(f"/partnerships/{partner_id}")
    assert (mine["state"], mine["commission_bp"], mine["decision"]["reason_code"]) == ("ended", 400, "partner_asked")
    assert "By telephone" not in pat.client.get(f"/partnerships/{partner_id}").text
    assert mine["apply_again_at"] is not None
    assert_problem(pat.client.post("/partnerships", json=APPLICATION), 409, "apply_later")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": " \t "}, "/name"),
        ({"name": "x" * 81}, "/name"),
        ({"name": "a\u202eb"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": ["x"]}, "/name"),
        ({"name": {"$ne": None}}, "/name"),
        ({"plan": "too short"}, "/plan"),
        ({"plan": "x" * 2001}, "/plan"),
        ({"plan": None}, "/plan"),
        ({"website": "javascript:alert(1)"}, "/website"),
        ({"website": "https://user@example.com/"}, "/website"),
        ({"website": "http://example.com"}, "/website"),
        ({"website": 1}, "/website"),
        ({"state": "approved"}, "/state"),
        ({"commission_bp": 500}, "/commission_bp"),
    ],
)
def test_hostile_applications_are_refused_field_by_field(service: Service, wrong: dict[str, Any], pointer: str) -> None:
    answer = service.person("hostile").client.post("/partnerships", json={**APPLICATION, **wrong})
    problem = assert_problem(answer, 422, "invalid_request")
    assert [one["pointer"] for one in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"version": 0}, "/version"),
        ({"version": "1"}, "/version"),
        ({"version": True}, "/version"),
        ({"version": 2**63}, "/version"),
        ({"decision": "withdraw"}, "/decision"),
        ({"decision": "APPROVE"}, "/decision"),
        ({"reason_code": "no_fit"}, "/reason_code"),
        ({"reason_code": "whatever"}, "/reason_code"),
        ({"note": "x"}, "/note"),
        ({"note": "\u200b\u200b\u200b"}, "/note"),
        ({"commission_bp": -1}, "/commission_bp"),
        ({"commission_bp": 501}, "/commission_bp"),
        ({"commission_bp": 10_001}, "/commission_bp"),
        ({"commission_bp": 1.5}, "/commission_bp"),
        ({"commission_bp": None}, "/commission_bp"),
        ({"owner_id": "usr_me"}, "/owner_id"),
    ],
)
def test_hostile_decisions_are_refused_and_nothing_is_decided(
    service: Service, admin: Person, wrong: dict[str, Any], pointer: str
) -> None:
    hopeful = service.person("hopeful")
    mine = hopeful.get("/partnerships")["items"]
    partner_id = mine[0]["id"] if mine else applied(hopeful)["id"]
    body = {"version": 1, "decision": "approve", "reason_code": "good_fit", "note": NOTE, "commission_bp": 300}
    answer = admin.client.post(f"/partnerships/{partner_id}/decision", json={**body, **wrong})
    problem = assert_problem(answer, 422, "invalid_request")
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    assert hopeful.get(f"/partnerships/{partner_id}")["version"] == 1


# Apps and tokens


def test_a_program_acts_for_its_partner_within_its_scopes(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    answer = program.ask()
    assert answer.status_code == 200
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 900, "profile:read prompts:read")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    token = given["access_token"]
    assert program.call(token).json()["id"] == pat.get("/users/me")["id"]
    assert program.call(token, "/prompts").status_code == 200
    refused = program.call(token, "/prompts", "POST", json={"name": "Not by a program"})
    assert_problem(refused, 403, "scope_missing")
    for path in ("/users/me/api-keys", "/partnerships/x/apps"):  # programs cannot manage what lets programs in
        assert_problem(program.call(token, path), 403, "scope_missing")
    narrow = program.token(scope="profile:read")
    assert program.call(narrow).status_code == 200
    assert_problem(program.call(narrow, "/prompts"), 403, "scope_missing")


def test_the_body_may_say_who_it_is(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    own = {"client_id": program.id, "client_secret": program.secret}
    assert service.visitor.post(TOKEN, data={**GRANT, **own}).status_code == 200
    both = service.visitor.post(TOKEN, data={**GRANT, **own}, headers=basic(program.id, program.secret))
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")


def _form(fields: str) -> dict[str, Any]:
    return {"content": fields, "headers": {"content-type": "application/x-www-form-urlencoded"}}


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({"data": {}}, 400, "invalid_request"),
        ({"data": {"grant_type": ""}}, 400, "invalid_request"),
        ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": {**GRANT, "scope": "listings:write"}}, 400, "invalid_scope"),
        ({"data": {**GRANT, "scope": "profile:read  prompts:read"}}, 400, "invalid_scope"),
        ({"data": {**GRANT, "scope": "profile:read\x00"}}, 400, "invalid_scope"),
        ({"data": {**GRANT, "scope": '"'}}, 400, "invalid_scope"),
        (_form("grant_type=client_credentials&grant_type=client_credentials"), 400, "invalid_request"),
        (_form("grant_type=client_credentials&scope=profile:read&scope=profile:read"), 400, "invalid_request"),
        (_form("grant_type=client_credentials&" + "&".join(["x=1"] * 99)), 400, "invalid_request"),
        (_form("&".join(f"f{number}=x" for number in range(99))), 400, "invalid_request"),
        (_form("grant_type=%ff%fe"), 400, "invalid_request"),
        ({"json": GRANT}, 400, "invalid_request"),
        ({"content": b"grant_type=client_credentials"}, 400, "invalid_request"),
        ({"data": GRANT, "params": {"client_secret": "x"}}, 400, "invalid_request"),
    ],
)
def test_requests_that_are_wrong_are_refused_in_the_words_of_the_standard(
    service: Service, admin: Person, sent: dict[str, Any], status: int, error: str
) -> None:
    program = standing_program(service, admin)
    headers = {**basic(program.id, program.secret), **sent.get("headers", {})}
    answer = service.visitor.post(TOKEN, **{**sent, "headers": headers})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [TOKEN, REVOKE])
def test_fields_that_nobody_knows_are_passed_over_however_often_they_are_there(
    service: Service, admin: Person, path: str
) -> None:
    program = standing_program(service, admin)
    sent = _form(f"grant_type=client_credentials&token=pfa_{'x' * 44}&audience=a&audience=b&audience=b&%C3%A9=&=")
    headers = {**basic(program.id, program.secret), **sent["headers"]}
    assert service.visitor.post(path, content=sent["content"], headers=headers).status_code == 200


@pytest.mark.parametrize("twice", ["token", "token_type_hint"])
def test_what_a_revocation_knows_is_there_once(service: Service, admin: Person, twice: str) -> None:
    program = standing_program(service, admin)
    sent = _form(f"token=pfa_{'x' * 44}&{twice}=a&{twice}=a")
    headers = {**basic(program.id, program.secret), **sent["headers"]}
    answer = service.visitor.post(REVOKE, content=sent["content"], headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_tokens_are_asked_for_by_post_and_briefly(service: Service) -> None:
    answer = service.visitor.get(TOKEN, params=GRANT)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert_problem(service.visitor.post(TOKEN, data={**GRANT, "scope": "x" * 9000}), 413, "body_too_large")


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"app_x:%ff").decode(),
        "Basic " + base64.b64encode(b"app_x:" + b"x" * 4000).decode(),
        "Bearer pfa_x",
        basic("app_nobody", APP_SECRET + "x" * 44)["authorization"],
        basic("app_nobody", "\x00")["authorization"],
    ],
)
def test_who_is_not_a_client_is_told_how_to_be_one(service: Service, header: str) -> None:
    answer = service.visitor.post(TOKEN, data=GRANT, headers={"authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


def standing_program(service: Service, admin: Person) -> Program:
    """One for all that is wrong: its partner has as many apps as it takes."""
    partner = service.person("standing")
    mine = [one for one in partner.get("/partnerships")["items"] if one["state"] == "approved"]
    partner_id = mine[0]["id"] if mine else approved(partner, admin)
    for app in partner.get(f"/partnerships/{partner_id}/apps")["items"]:
        partner.call("DELETE", f"/partnerships/{partner_id}/apps/{app['id']}", expect=204)
    return Program(service, partner.post(f"/partnerships/{partner_id}/apps", APP, expect=201))


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": ["no:such"]}, {"scopes": ["*"]}, {"scopes": "profile:read"}, {"name": "a\u202eb"}],
)
def test_hostile_apps_are_refused(service: Service, admin: Person, wrong: dict[str, Any]) -> None:
    standing_program(service, admin)
    partner = service.person("standing")
    partner_id = partner.get("/partnerships")["items"][0]["id"]
    assert_problem(
        partner.client.post(f"/partnerships/{partner_id}/apps", json={**APP, **wrong}), 422, "invalid_request"
    )


def test_what_is_made_up_is_no_token(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    token = program.token()
    for bad in (Shape(APP_TOKEN).new(), token[:-1], token + "0", APP_TOKEN, program.secret):
        assert_problem(program.call(bad), 401, "invalid_token")


def test_nothing_that_opens_anything_is_stored(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    token = program.token()
    key = {"idempotency-key": "an-app"}
    path = f"/partnerships/{pat.get('/partnerships')['items'][0]['id']}/apps"
    first = pat.client.post(path, json=APP, headers=key).json()
    assert pat.client.post(path, json=APP, headers=key).json() == {**first, "secret": None}
    with service.database() as client:
        everything = str(documents(client))
    for secret in (program.secret, first["secret"], token):
        assert secret not in everything
        assert secret not in service.log


def test_a_suspended_partners_programs_stop_at_once_and_go_on_afterwards(
    service: Service, pat: Person, admin: Person
) -> None:
    partner_id, program = made(service, pat, admin)
    token = program.token()
    assert program.call(token).status_code == 200
    decide(admin, partner_id, "suspend", "under_review")
    refused = program.ask()
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    eventually(lambda: program.call(token).status_code == 401)
    assert_problem(pat.client.post(f"/partnerships/{partner_id}/apps", json=APP), 409, "not_a_partner")
    decide(admin, partner_id, "lift", "resolved")
    assert program.call(program.token()).status_code == 200
    decide(admin, partner_id, "end", "inactive")
    assert program.ask().json()["error"] == "unauthorized_client"
    eventually(lambda: program.call(token).status_code == 401)


def test_a_suspended_accounts_programs_stop(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    token = program.token()
    assert program.call(token).status_code == 200
    user = pat.get("/users/me")["id"]
    admin.post(f"/ops/users/{user}/suspend", {"reason": NOTE}, expect=200)
    assert program.ask().json()["error"] == "unauthorized_client"
    eventually(lambda: program.call(token).status_code == 401)
    admin.post(f"/ops/users/{user}/reinstate", {"reason": NOTE}, expect=200)
    eventually(lambda: program.call(token).status_code == 200)


def test_a_rotated_secret_lasts_a_while_and_a_leaked_one_does_not(service: Service, pat: Person, admin: Person) -> None:
    partner_id, program = made(service, pat, admin)
    path = f"/partnerships/{partner_id}/apps/{program.id}"
    first, token = program.secret, program.token()
    second = pat.post(f"{path}/secret", {}, expect=200)
    assert second["app"]["old_secret_until"] is not None
    assert [program.ask(secret).status_code for secret in (first, second["secret"])] == [200, 200]
    third = pat.post(f"{path}/secret", {}, expect=200)["secret"]
    assert [program.ask(secret).status_code for secret in (first, second["secret"], third)] == [401, 200, 200]
    assert program.call(token).status_code == 200
    fourth = pat.post(f"{path}/secret", {"leaked": True}, expect=200)["secret"]
    assert [program.ask(secret).status_code for secret in (second["secret"], third, fourth)] == [401, 401, 200]
    eventually(lambda: program.call(token).status_code == 401)


def test_a_token_that_its_app_revokes_ends_and_no_other_one(service: Service, pat: Person, admin: Person) -> None:
    """RFC 7009: 200 whether or not there was such a token, and nothing in the answer."""
    partner_id, program = made(service, pat, admin)
    first, second = program.token(), program.token()
    assert [program.call(token).status_code for token in (first, second)] == [200, 200]
    for fields in ({}, {"token_type_hint": "access_token"}, {"token_type_hint": "no_such_type"}):
        answer = program.revoke(first, **fields)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"
    eventually(lambda: program.call(first).status_code == 401)
    assert program.call(second).status_code == 200
    for no_token in ("x", Shape(APP_TOKEN).new(), program.secret, "ü" * 100):
        assert program.revoke(no_token).status_code == 200
    decide(admin, partner_id, "suspend", "under_review")
    assert program.revoke(second).status_code == 200, "whoever is stopped may still end what is theirs"
    decide(admin, partner_id, "lift", "resolved")
    assert program.call(second).status_code == 401


def test_a_token_is_revoked_by_its_own_app_only(service: Service, pat: Person, admin: Person) -> None:
    _, program = made(service, pat, admin)
    other = standing_program(service, admin)
    token = program.token()
    refused = other.revoke(token)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    wrong = program.revoke(token, Shape(APP_SECRET).new())
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    assert service.visitor.post(REVOKE, data={"token": token}).status_code == 401
    for body in ({}, {"token": "x" * 5000}):
        answer = service.visitor.post(REVOKE, data=body, headers=basic(program.id, program.secret))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    in_the_address = service.visitor.post(f"{REVOKE}?token={token}", headers=basic(program.id, program.secret))
    assert in_the_address.status_code == 400
    assert_problem(service.visitor.get(REVOKE), 405, "method_not_allowed")
    assert program.call(token).status_code == 200


def test_where_tokens_are_given_and_ended_can_be_looked_up(service: Service) -> None:
    """RFC 8414."""
    told = service.visitor.get("/.well-known/oauth-authorization-server")
    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    document = told.json()
    assert document["token_endpoint"] == document["issuer"] + TOKEN
    assert document["revocation_endpoint"] == document["issuer"] + REVOKE
    assert document["issuer"] == service.base_url
    assert document["grant_types_supported"] == ["client_credentials"]
    assert {"listings:read", "webhooks:write"} <= set(document["scopes_supported"])


def test_a_deleted_app_is_nobody(service: Service, pat: Person, admin: Person) -> None:
    partner_id, program = made(service, pat, admin)
    token = program.token()
    assert program.call(token).status_code == 200
    path = f"/partnerships/{partner_id}/apps/{program.id}"
    read = pat.client.get(path)
    renamed = pat.client.patch(path, json={"name": "Another"}, headers={"if-match": read.headers["etag"]})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Another")
    stale = pat.client.patch(path, json={"name": "Late"}, headers={"if-match": read.headers["etag"]})
    assert_problem(stale, 412, "precondition_failed")
    pat.call("DELETE", path, expect=204)
    assert program.ask().json()["error"] == "invalid_client"
    eventually(lambda: program.call(token).status_code == 401)
    assert pat.get(f"/partnerships/{partner_id}/apps")["items"] == []


def test_of_many_apps_made_at_once_there_are_ten(pat: Person, admin: Person) -> None:
    path = f"/partnerships/{approved(pat, admin)}/apps"
    outcomes = at_once([lambda: pat.client.post(path, json=APP)] * 15)
    assert outcomes == {(201, ""): 10, (409, "too_many_apps"): 5}


def test_a_program_has_no_rights_of_staff(service: Service, admin: Person) -> None:
    other = service.person("other-admin", Role.ADMIN)
    partner_id = approved(admin, other)
    app = {"name": "Mine", "scopes": ["jobs:read", "profile:read"]}
    program = Program(service, admin.post(f"/partnerships/{partner_id}/apps", app, expect=201))
    assert program.call(program.token()).json()["id"] == admin.get("/users/me")["id"]
    assert_problem(program.call(program.token(), "/jobs/queues"), 403, "forbidden")


def test_wrong_secrets_are_counted_by_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("guessing"), RATE_LIMITS="sign-in=5/minute") as service:
        headers = basic("app_x", Shape(APP_SECRET).new())

        def guess() -> httpx.Response:
            return service.visitor.post(TOKEN, data=GRANT, headers=headers)

        counted = [guess().status_code for _ in range(5)]
        refused = [answer for _ in range(6) if (answer := guess()).status_code != 401]  # a minute may end in between
        assert counted == [401] * 5
        assert refused
        assert {answer.status_code for answer in refused} == {429}
        assert int(refused[0].headers["retry-after"]) > 0


def test_the_plan_is_in_the_reviewers_hands_only(service: Service, pat: Person, admin: Person) -> None:
    partner_id = applied(pat)["id"]
    assert admin.get(f"/partnerships/{partner_id}/review")["partnership"]["plan"] == PLAN
    stranger = service.person("stranger")
    assert_problem(stranger.client.get(f"/partnerships/{partner_id}"), 404, "not_found")
    assert_problem(admin.client.get(f"/partnerships/{partner_id}"), 404, "not_found")
