"""Whatever comes in over the socket: the right problem, never a 500, and nothing stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from promptforge.core.identity import mint
from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.running import RunningService, command, published_listing


@pytest.fixture
def nothing_is_stored(service: RunningService) -> Iterator[None]:
    """The same numbers of documents before and after, in every collection that people fill."""
    server = EmbeddedMongod.start(service.data_dir / "mongo")
    client: MongoClient[dict[str, Any]] = MongoClient(server.url)
    names = ("prompts", "prompt_versions", "marketplace_listings", "purchases", "webhook_events", "jobs", "checkouts")
    service.person("carla", Role.SELLER).get("/users/me")

    def counts() -> dict[str, int]:
        return {name: client["promptforge"][name].count_documents({}) for name in names}

    before = counts()
    yield
    assert counts() == before
    client.close()
    server.stop()


def _problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["status"] == status
    assert code is None or problem["code"] == code
    return problem


BODIES: list[tuple[bytes, int]] = [
    (b"", 422),
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b'"text"', 400),
    (b"\xff\xfe{}", 400),
    (b'{"name": "a", "name": "b"}', 400),
    (b'{"name": NaN}', 400),
    (b'{"name": "\\ud800"}', 400),
    (b'{"name": "a\\u0000b"}', 422),
    (b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    (b'{"name": 5}', 422),
    (b'{"name": null}', 422),
    (b'{"name": ""}', 422),
    (b'{"name": "   "}', 422),
    (b'{"name": "x", "unknown": 1}', 422),
    (b'{"name": "x", "kind": "video"}', 422),
    (b'{"name": "x", "tags": "not a list"}', 422),
    (b'{"name": "' + b"x" * 121 + b'"}', 422),
    (b'{"name": 99999999999999999999999999}', 422),
]


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(("body", "status"), BODIES, ids=[body[:24].decode("latin-1") for body, _ in BODIES])
def test_a_bad_body_is_refused(service: RunningService, body: bytes, status: int) -> None:
    carla = service.person("carla", Role.SELLER)
    response = carla.client.post("/prompts", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {status, 400, 422}
    _problem(response, response.status_code)


@pytest.mark.usefixtures("nothing_is_stored")
def test_every_bad_field_is_named_at_once(service: RunningService) -> None:
    carla = service.person("carla", Role.SELLER)
    response = carla.client.post("/prompts?x=1", json={"name": 5, "tags": [1, "ok"], "folder": "/", "extra": True})
    errors = _problem(response, 422, "invalid_request")["errors"]
    named = {error.get("pointer") or error.get("parameter") for error in errors}
    assert named == {"/name", "/tags/0", "/folder", "/extra", "x"}


@pytest.mark.usefixtures("nothing_is_stored")
def test_two_mebibytes_are_too_many_however_they_are_sent(service: RunningService) -> None:
    carla = service.person("carla", Role.SELLER)
    body = json.dumps({"name": "x" * 2 * 1024 * 1024}).encode()

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    headers = {"Content-Type": "application/json"}
    _problem(carla.client.post("/prompts", content=body, headers=headers), 413)
    _problem(carla.client.post("/prompts", content=chunks(), headers=headers), 413)


@pytest.mark.usefixtures("nothing_is_stored")
def test_only_json_is_taken(service: RunningService) -> None:
    carla = service.person("carla", Role.SELLER)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""):
        headers = {"Content-Type": content_type} if content_type else {}
        _problem(carla.client.post("/prompts", content=b'{"name": "x"}', headers=headers), 415)


def _token(**claims: Any) -> str:
    return mint("eve", project_id=DEMO_PROJECT, **claims)


TOKENS = {
    "garbage": "Bearer nonsense",
    "no token": "Bearer",
    "another scheme": "Basic YTpi",
    "expired": f"Bearer {_token(lifetime_seconds=-10)}",
    "for another project": f"Bearer {mint('eve', project_id='other')}",
    "from the future": f"Bearer {_token(now=lambda: time.time() + 3600)}",
    "half": f"Bearer {_token()[:80]}",
    "very long": f"Bearer {'a' * 9000}",
}


@pytest.mark.parametrize("header", TOKENS.values(), ids=TOKENS.keys())
def test_a_token_that_is_no_good_is_401_on_public_paths_too(service: RunningService, header: str) -> None:
    for path in ("/users/me", "/marketplace/listings"):
        response = httpx.get(f"{service.base_url}/api/v1{path}", headers={"Authorization": header})
        _problem(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_without_a_token_private_things_are_401(service: RunningService) -> None:
    nobody = service.person("")
    for method, path in (("GET", "/users/me"), ("POST", "/prompts"), ("GET", "/jobs"), ("GET", "/ops/ledger")):
        _problem(nobody.client.request(method, path, json={} if method == "POST" else None), 401)


def test_other_peoples_things_do_not_exist_and_roles_are_kept(service: RunningService) -> None:
    carla = service.person("carla", Role.SELLER)
    eve = service.person("eve", Role.SELLER)
    mona = service.person("mona", Role.MODERATOR)
    listing = published_listing(service, carla, mona, name="Private")
    prompt = next(one for one in carla.get("/prompts")["items"] if one["name"] == "Private")["id"]
    draft = carla.post(
        "/marketplace/listings",
        {
            "prompt_id": prompt,
            "version": 1,
            "title": "Not yet",
            "summary": "Not yet",
            "description": "Not yet",
            "category": "other",
            "price": "1",
        },
        expect=201,
    )["id"]
    checkout = carla.post("/billing/checkouts", {"pack_id": carla.get("/billing/packs")["packs"][0]["id"]}, expect=201)
    notification = carla.get("/notifications")["items"]
    for path in (
        f"/prompts/{prompt}",
        f"/prompts/{prompt}/versions",
        f"/prompts/{prompt}/versions/1",
        f"/marketplace/listings/{draft}",
        f"/billing/checkouts/{checkout['id']}",
        "/prompts/prm_unknown",
        "/marketplace/listings/lst_unknown",
        "/marketplace/purchases/pur_unknown",
        "/jobs/job_unknown",
    ):
        _problem(eve.client.get(path), 404)
    for path in (
        f"/marketplace/listings/{listing}/unlist",
        f"/marketplace/listings/{draft}/submit",
        *(f"/notifications/{one['id']}/read" for one in notification),
    ):
        _problem(eve.client.post(path), 404)
    _problem(eve.client.post(f"/prompts/{prompt}/versions", json={"content": "mine"}), 404)
    stolen = {"prompt_id": prompt, "version": 1, "title": "Stolen", "summary": "Stolen", "description": "Stolen"}
    _problem(eve.client.post("/marketplace/listings", json={**stolen, "category": "other", "price": "1"}), 404)
    for path in ("/moderation/cases", "/ops/ledger", "/ops/actors", "/billing/webhook-events"):
        _problem(eve.client.get(path), 403)
    _problem(service.person("bruno").client.post("/marketplace/listings", json={}), 403)
    _problem(
        carla.client.post(f"/marketplace/listings/{listing}/purchases", json={"expected_price": "10"}),
        403,
        "own_listing",
    )


def test_paths_cursors_and_methods_that_are_none(service: RunningService) -> None:
    carla = service.person("carla", Role.SELLER)
    _problem(carla.client.get("/nothing"), 404)
    _problem(carla.client.get("/prompts/"), 404)
    _problem(carla.client.put("/prompts"), 405)
    _problem(carla.client.get("/prompts?cursor=nonsense"), 422)
    _problem(carla.client.get("/prompts?limit=0"), 422)
    _problem(carla.client.get("/prompts?limit=1&limit=2"), 422)
    _problem(carla.client.get("/prompts/" + "x" * 300), 404)
    _problem(carla.client.get("/prompts/%00"), 400)


GENUINE = json.dumps({"id": "evt_bad", "object": "event", "type": "nothing.known", "data": {"object": {}}})


@pytest.mark.usefixtures("nothing_is_stored")
def test_events_that_stripe_did_not_send_are_refused(service: RunningService) -> None:
    now = int(time.time())
    _problem(service.send_event(GENUINE, secret="whsec_wrong"), 400)
    _problem(service.send_event(GENUINE, signature=""), 400)
    _problem(service.send_event(GENUINE, signature="t=1,v1=zz"), 400)
    _problem(service.send_event(GENUINE, signature="t=1,v1=é".encode()), 400)
    _problem(service.send_event(GENUINE, at=now - 360), 400)
    _problem(service.send_event(GENUINE, at=now + 360), 400)
    for payload in ("[]", "null", "{}", '"text"', "{", ""):
        _problem(service.send_event(payload), 400)
    _problem(service.send_event(b"\xff\xfe"), 400)
    _problem(service.send_event("x" * 600_000), 413)


def test_without_a_webhook_secret_no_event_is_accepted(tmp_path: Any) -> None:
    service = RunningService(tmp_path, STRIPE_WEBHOOK_SECRET="")
    service.start()
    try:
        _problem(service.send_event(GENUINE), 503)
    finally:
        service.stop()


def test_the_command_line_says_what_is_wrong_in_one_line() -> None:
    done = command("jobs", "show")
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
