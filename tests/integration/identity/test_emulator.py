"""The whole service with the real Firebase Auth emulator: sessions as a browser has them, over a real socket.

In this mode firebase-admin checks no signature, so whoever signs (key ids, certificates, algorithms) is looked at in
test_production.py; what is looked at here is what Firebase itself knows and says.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from promptforge.deploy.settings import Environment, Settings, faults
from tests.support.firebase import PROJECT, AuthEmulator, SignedIn, auth_emulator
from tests.support.running import RunningService
from tests.support.waiving import WAIVED

CHECKOUT = "/billing/checkouts"
ME = "/users/me"


@pytest.fixture(scope="module")
def firebase() -> Iterator[AuthEmulator]:
    with auth_emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def api(firebase: AuthEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the running service."""
    service = RunningService(
        tmp_path_factory.mktemp("service"), FIREBASE_AUTH_EMULATOR_HOST=firebase.host, FIREBASE_PROJECT_ID=PROJECT
    )
    service.start()
    try:
        with httpx.Client(base_url=f"{service.base_url}/api/v1", timeout=30) as client:
            yield client
    finally:
        service.stop()


@pytest.fixture
def person(firebase: AuthEmulator) -> SignedIn:
    """Somebody who has just signed up."""
    return firebase.sign_up(f"{secrets.token_hex(6)}@example.com")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def crafted(token: str, *, algorithm: str = "none", signature: str = "", **changes: Any) -> str:
    """A token of the emulator with other claims."""
    _, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    parts = ({"alg": algorithm, "typ": "JWT", "kid": "one"}, claims)
    made = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{made}.{signature}"


def buy(api: httpx.Client, token: str) -> httpx.Response:
    """The beginning of a purchase of credits: a route where money moves."""
    pack = api.get("/billing/packs").json()["packs"][0]["id"]
    return api.post(CHECKOUT, json={"pack_id": pack, **WAIVED}, headers=bearer(token))


def assert_refused(response: httpx.Response, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (401, code)


def test_who_has_signed_up_has_an_account_from_the_first_request_on(api: httpx.Client, person: SignedIn) -> None:
    first, second = (api.get(ME, headers=bearer(person.token)) for _ in range(2))
    assert first.status_code == 200
    assert first.json()["email"] == person.email
    assert first.json()["id"] == second.json()["id"]


def test_roles_are_the_custom_claims_of_the_session(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    assert api.get("/moderation/cases", headers=bearer(person.token)).status_code == 403
    firebase.set_roles(person.uid, Role.MODERATOR)
    assert api.get("/moderation/cases", headers=bearer(firebase.sign_in(person.email).token)).status_code == 200
    firebase.set_roles(person.uid)
    assert api.get("/moderation/cases", headers=bearer(firebase.sign_in(person.email).token)).status_code == 403


def test_a_role_taken_away_is_gone_at_once_for_commands_of_staff_whatever_the_token_says(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    firebase.set_roles(person.uid, Role.OPERATOR)
    operator = firebase.sign_in(person.email)
    pause, resume = "/jobs/queues/default/pause", "/jobs/queues/default/resume"
    assert [api.post(path, headers=bearer(operator.token)).status_code for path in (pause, resume)] == [200, 200]
    firebase.set_roles(person.uid)
    assert api.post(pause, headers=bearer(operator.token)).status_code == 403
    assert api.get("/jobs/queues", headers=bearer(operator.token)).status_code == 403
    assert api.get(ME, headers=bearer(operator.token)).json()["roles"] == ["user"]


def make_key(api: httpx.Client, token: str, *scopes: str) -> str:
    made = api.post("/users/me/api-keys", json={"name": "program", "scopes": scopes}, headers=bearer(token))
    assert made.status_code == 201
    secret: str = made.json()["secret"]
    return secret


def test_an_api_key_has_the_roles_that_its_owner_has_now(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    firebase.set_roles(person.uid, Role.OPERATOR)
    key = make_key(api, firebase.sign_in(person.email).token, "jobs:write")
    pause, resume = "/jobs/queues/default/pause", "/jobs/queues/default/resume"
    assert [api.post(path, headers=bearer(key)).status_code for path in (pause, resume)] == [200, 200]
    firebase.set_roles(person.uid)
    assert api.post(pause, headers=bearer(key)).status_code == 403


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_an_api_key_ends_with_its_owners_account(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn, end: str
) -> None:
    key = make_key(api, person.token, "billing:write", "profile:read")
    assert api.get(ME, headers=bearer(key)).status_code == 200
    assert buy(api, key).status_code == 201
    getattr(firebase, end)(person.uid)
    assert_refused(buy(api, key), "token_revoked")
    assert_refused(api.get(ME, headers=bearer(key)), "token_revoked")


def test_an_api_key_outlives_its_owners_sessions(api: httpx.Client, firebase: AuthEmulator, person: SignedIn) -> None:
    key = make_key(api, person.token, "billing:write")
    firebase.revoke(person.uid)
    assert_refused(buy(api, person.token), "token_revoked")
    assert buy(api, key).status_code == 201


def test_a_revoked_session_moves_no_money_from_then_on_and_does_nothing_else_either(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    assert buy(api, person.token).status_code == 201
    assert api.get(ME, headers=bearer(person.token)).status_code == 200
    firebase.revoke(person.uid)
    assert_refused(buy(api, person.token), "token_revoked")
    assert_refused(api.get(ME, headers=bearer(person.token)), "token_revoked")
    assert buy(api, firebase.sign_in(person.email).token).status_code == 201


def test_a_session_that_was_not_seen_for_a_minute_is_asked_about_on_every_route(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    firebase.revoke(person.uid)
    assert_refused(api.get(ME, headers=bearer(person.token)), "token_revoked")


def test_a_stream_ends_with_its_session(api: httpx.Client, firebase: AuthEmulator, person: SignedIn) -> None:
    firebase.set_roles(person.uid, Role.OPERATOR)
    operator = firebase.sign_in(person.email)
    with api.stream("GET", "/jobs/stream", headers=bearer(operator.token)) as response:
        assert response.status_code == 200
        firebase.revoke(person.uid)
        assert_refused(buy(api, operator.token), "token_revoked")
        lines = list(response.iter_lines())
    assert {"event: end", 'data: {"code":"token_revoked"}'} <= set(lines)


def test_a_disabled_person_is_refused(api: httpx.Client, firebase: AuthEmulator, person: SignedIn) -> None:
    assert api.get(ME, headers=bearer(person.token)).status_code == 200
    firebase.disable(person.uid)
    assert_refused(buy(api, person.token), "token_revoked")
    assert_refused(api.get(ME, headers=bearer(person.token)), "token_revoked")


def test_a_deleted_person_is_refused(api: httpx.Client, firebase: AuthEmulator, person: SignedIn) -> None:
    firebase.delete(person.uid)
    assert_refused(api.get(ME, headers=bearer(person.token)), "token_revoked")


def test_an_expired_token_is_refused_on_every_route(api: httpx.Client, person: SignedIn) -> None:
    now = int(time.time())
    token = crafted(person.token, iat=now - 3600, exp=now - 1)
    assert_refused(api.get(ME, headers=bearer(token)), "token_expired")
    assert_refused(buy(api, token), "token_expired")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"iss": "https://securetoken.google.com/another"},
        {"aud": "another", "iss": "https://securetoken.google.com/another"},
        {"iat": "in ten minutes"},
        {"sub": ""},
        {"exp": None},
    ],
)
def test_a_token_of_another_project_or_with_broken_claims_is_refused(
    api: httpx.Client, person: SignedIn, changes: dict[str, Any]
) -> None:
    if "iat" in changes:  # from now on, and not from when the tests were collected
        changes = {"iat": int(time.time()) + 600}
    assert_refused(api.get(ME, headers=bearer(crafted(person.token, **changes))), "invalid_token")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256"])
def test_a_made_up_person_is_refused(api: httpx.Client, person: SignedIn, algorithm: str) -> None:
    token = crafted(person.token, algorithm=algorithm, signature="c2lnbmVk", sub="nobody", user_id="nobody")
    assert_refused(api.get(ME, headers=bearer(token)), "token_revoked")


def test_the_emulator_checks_no_signature_and_for_that_production_refuses_to_start_with_it(
    api: httpx.Client, firebase: AuthEmulator, person: SignedIn
) -> None:
    forged = crafted(person.token, algorithm="HS256", signature="c2lnbmVk", roles=["moderator"])
    assert api.get(ME, headers=bearer(forged)).status_code == 200
    assert api.get("/moderation/cases", headers=bearer(forged)).status_code == 403  # roles are the account's own
    settings = Settings(environment=Environment.PRODUCTION, firebase_auth_emulator_host=firebase.host)
    assert any("FIREBASE_AUTH_EMULATOR_HOST" in fault for fault in faults(settings))
