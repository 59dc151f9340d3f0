"""Bad input over the real socket: the right problem, never a 500, and nothing stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from promptforge.core.identity import mint
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.running import WEBHOOK_SECRET, Person, assert_ledger_whole, eventually, published_listing
from tests.support.service import DATABASE, Service, assert_problem, documents, serving

JSON = {"content-type": "application/json"}
MEBIBYTE = 1024 * 1024
LONG_AGO = 1_600_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("bad-input")) as service:
        yield service
        assert_ledger_whole(service)


@pytest.fixture(scope="module")
def database(service: Service) -> Iterator[MongoClient[dict[str, Any]]]:
    with service.database() as client:
        yield client


@pytest.fixture(scope="module")
def seller(service: Service) -> Person:
    seller = service.person("seller", Role.SELLER)
    seller.post("/prompts", {"name": "Known"}, expect=201)
    return seller


@pytest.fixture(scope="module")
def prompt(seller: Person) -> str:
    found: str = seller.get("/prompts")["items"][0]["id"]
    return found


@pytest.fixture(scope="module")
def listing(service: Service, seller: Person) -> str:
    moderator = service.person("moderator", Role.MODERATOR)
    operator = service.person("operator", Role.OPERATOR)
    listing = published_listing(service, seller, moderator, name="For sale")
    eventually(lambda: not [job for job in operator.get("/jobs")["items"] if job["state"] != "completed"])
    return listing


@pytest.fixture(scope="module")
def stored(database: MongoClient[dict[str, Any]], seller: Person, listing: str) -> dict[str, Any]:
    """Every document, before the first test of this file."""
    return _lasting(database)


@pytest.fixture(autouse=True)
def nothing_stored(database: MongoClient[dict[str, Any]], stored: dict[str, Any]) -> Iterator[None]:
    """Whatever a test of this file sends, every document stays as it was before the first one."""
    yield
    after = _lasting(database)
    assert [name for name in stored.keys() | after.keys() if after.get(name) != stored.get(name)] == []


def _lasting(database: MongoClient[dict[str, Any]]) -> dict[str, Any]:
    """The hash of each collection's documents; of jobs, themselves.

    Without what changes by itself: the heartbeats of processes, and what the schedules of every minute leave.
    """
    by_itself = {"processes", "leases", "audit_checkpoints", "ledger_checkpoints", "ledger_head", "job_schedules"}
    hashes = database[DATABASE].command("dbHash")["collections"]
    jobs = database[DATABASE]["jobs"].find({"_id": {"$not": {"$regex": "^cron:"}}}).sort("_id")
    return {name: one for name, one in hashes.items() if name not in by_itself} | {"jobs": list(jobs)}


# Bodies that cannot be read


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut short"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"name": "a",}', id="trailing comma"),
        pytest.param(b"{'name': 'a'}", id="single quotes"),
        pytest.param(b'{"name": "a"} {}', id="two documents"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"name"', id="a string"),
        pytest.param(b"\x00", id="a NUL byte"),
        pytest.param(b'{"name": NaN}', id="NaN"),
        pytest.param(b'{"name": "a", "name": "b"}', id="the same key twice"),
        pytest.param(b'{"name": "\xff\xfe"}', id="not UTF-8"),
        pytest.param(b'{"name": "\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"name": "\\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"\\ud800": "a"}', id="a lone surrogate as a key"),
        pytest.param('{"name": "ä"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"[" * 100_000, id="deep and cut short"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep lists"),
        pytest.param(b'{"a":' * 1000 + b"1" + b"}" * 1000, id="deep objects"),
        pytest.param(b'{"name": "a", "tags": [' + b"1," * 30_000 + b"1]}", id="too many values"),
        pytest.param(b'{"name": ' + b"9" * 10_000 + b"}", id="a number of ten thousand digits"),
    ],
)
def test_a_body_that_cannot_be_read_is_malformed(seller: Person, body: bytes) -> None:
    response = seller.client.post("/prompts", content=body, headers=JSON)
    assert response.status_code < 500, response.text
    if b"9" * 100 in body:  # whether such a number can be read at all is the parser's business
        assert response.status_code in {400, 422}
        return
    assert_problem(response, 400, "malformed_request")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        "",
        "application/jsonx",
    ],
)
def test_a_body_of_another_type_is_not_taken(seller: Person, content_type: str) -> None:
    response = seller.client.post("/prompts", content=b'{"name": "a"}', headers={"content-type": content_type})
    assert_problem(response, 415, "unsupported_media_type")


def test_a_body_without_a_type_is_not_taken(seller: Person) -> None:
    assert_problem(seller.client.post("/prompts", content=b'{"name": "a"}'), 415, "unsupported_media_type")


def test_two_mebibytes_are_too_much(seller: Person, prompt: str) -> None:
    body = json.dumps({"content": "x" * 2 * MEBIBYTE}).encode()
    for path in ("/prompts", f"/prompts/{prompt}/versions"):
        assert_problem(seller.client.post(path, content=body, headers=JSON), 413, "body_too_large")


def test_two_mebibytes_in_chunks_are_too_much(seller: Person, prompt: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"content": "'
        for _ in range(32):
            yield b"x" * 65_536
        yield b'"}'

    for path in ("/prompts", f"/prompts/{prompt}/versions"):
        assert_problem(seller.client.post(path, content=chunks(), headers=JSON), 413, "body_too_large")


def test_two_mebibytes_from_nobody_are_refused_too(service: Service) -> None:
    response = service.visitor.post("/api/v1/prompts", content=b"x" * 2 * MEBIBYTE, headers=JSON)
    assert response.status_code in {401, 413}
    assert response.headers["content-type"] == "application/problem+json"


# Bodies that can be read, and are wrong


def _fields(problem: dict[str, Any]) -> dict[str, str]:
    return {error.get("pointer", error.get("parameter")): error["code"] for error in problem["errors"]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/name": "missing"}),
        ({"name": "a", "colour": "red"}, {"/colour": "unknown_field"}),
        ({"name": "a", "owner_id": "usr_1"}, {"/owner_id": "unknown_field"}),
        ({"name": "a", "id": "prm_1", "$set": {}}, {"/id": "unknown_field", "/$set": "unknown_field"}),
        ({"name": 5}, {"/name": "string_type"}),
        ({"name": None}, {"/name": "string_type"}),
        ({"name": {"$gt": ""}}, {"/name": "string_type"}),
        ({"name": ["a"]}, {"/name": "string_type"}),
        ({"name": "a" * 121}, {"/name": "string_too_long"}),
        ({"name": "a\0b"}, {"/name": "nul_character"}),
        ({"name": "a", "a\0b": 1}, {"": "nul_character", "/a\0b": "unknown_field"}),
        ({"name": "a\u202eb"}, {"/name": "value_error"}),
        ({"name": "   "}, {"/name": "value_error"}),
        ({"name": "a", "kind": "video"}, {"/kind": "enum"}),
        ({"name": "a", "tags": "b"}, {"/tags": "tuple_type"}),
        ({"name": "a", "tags": [1, "b", None]}, {"/tags/0": "string_type", "/tags/2": "string_type"}),
        ({"name": "a", "tags": ["b"] * 21}, {"/tags": "too_long"}),
        ({"name": "a", "folder": "/"}, {"/folder": "string_pattern_mismatch"}),
        ({"name": "a", "folder": 2**70}, {"/folder": "number_out_of_range"}),
        ({"name": 5.5}, {"/name": "string_type"}),
    ],
)
def test_every_bad_field_is_named(seller: Person, body: dict[str, Any], expected: dict[str, str]) -> None:
    response = seller.client.post("/prompts", content=json.dumps(body).encode(), headers=JSON)
    assert _fields(assert_problem(response, 422, "invalid_request")) == expected


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/content"}),
        ({"content": 5}, {"/content"}),
        ({"content": "x" * 262_145}, {"/content"}),
        ({"content": "a\0b"}, {"/content"}),
        ({"content": []}, {"/content"}),
        ({"content": "a", "base_version": 2**63}, {"/base_version"}),
        ({"content": "a", "base_version": -(2**80)}, {"/base_version"}),
        ({"content": "a", "base_version": "1"}, {"/base_version"}),
        ({"content": "a", "base_version": True}, {"/base_version"}),
        ({"content": "a", "settings": {"temperature": 3}}, {"/settings/temperature"}),
        ({"content": "a", "settings": {"max_tokens": 10**30}}, {"/settings/max_tokens"}),
        ({"content": "a", "settings": {"seed": 1}}, {"/settings/seed"}),
        ({"content": "a", "version": 7}, {"/version"}),
        ({"content": "a", "prompt_id": "prm_other"}, {"/prompt_id"}),
    ],
)
def test_a_bad_version_is_refused(seller: Person, prompt: str, body: dict[str, Any], pointers: set[str]) -> None:
    response = seller.client.post(f"/prompts/{prompt}/versions", content=json.dumps(body).encode(), headers=JSON)
    problem = assert_problem(response, 422, "invalid_request")
    assert {error["pointer"] for error in problem["errors"]} == pointers


@pytest.mark.parametrize(
    "price", ["-1", "1.2345", "1e3", "01", "\u0661", "", " 1", "1\n", "9999999999", "NaN", 10, 1.5, None, True]
)
def test_a_price_is_a_decimal_string(seller: Person, listing: str, price: object) -> None:
    response = seller.client.post(f"/marketplace/listings/{listing}/purchases", json={"expected_price": price})
    assert set(_fields(assert_problem(response, 422, "invalid_request"))) == {"/expected_price"}


def test_content_of_the_wrong_kind_is_refused(seller: Person, prompt: str) -> None:
    chat = {"content": [{"role": "user", "content": "Hello"}]}
    assert_problem(seller.client.post(f"/prompts/{prompt}/versions", json=chat), 422, "invalid_request")


# Paths and queries


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("colour=red", 422, "invalid_request"),
        ("limit=0", 422, "invalid_request"),
        ("limit=101", 422, "invalid_request"),
        ("limit=ten", 422, "invalid_request"),
        ("limit=1.0", 422, "invalid_request"),
        ("limit=" + "9" * 5000, 422, "invalid_request"),
        ("limit=%D9%A1", 422, "invalid_request"),
        ("limit=5&limit=6", 422, "invalid_request"),
        ("limit", 422, "invalid_request"),
        ("archived=perhaps", 422, "invalid_request"),
        ("tag=", 422, "invalid_request"),
        ("tag=a%00b", 422, "invalid_request"),
        ("tag[$gt]=a", 422, "invalid_request"),
        ("prompt_id=prm_1", 422, "invalid_request"),
        ("tag=%zz", 400, "malformed_request"),
        ("tag=%ff", 400, "malformed_request"),
        ("tag=%ed%a0%80", 400, "malformed_request"),
        ("&".join(f"a{number}=1" for number in range(100)), 400, "malformed_request"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(seller: Person, query: str, status: int, code: str) -> None:
    assert_problem(_get_raw(seller, f"/prompts?{query}"), status, code)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "AAAA",
        "MTIz",
        "%00",
        "a" * 201,
        "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OmE",
        "Og",
        "LTk5OTk5OTk5OTk5OTk5OTk6YQ",
    ],
)
@pytest.mark.parametrize(
    "path", ["/prompts", "/marketplace/listings", "/notifications", "/users/me/transactions", "/jobs"]
)
def test_a_cursor_that_nobody_gave_out_is_refused(seller: Person, path: str, cursor: str) -> None:
    problem = assert_problem(_get_raw(seller, f"{path}?cursor={cursor}"), 422, "invalid_request")
    assert {error["parameter"] for error in problem["errors"]} == {"cursor"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/prompts/" + "a" * 65, 422, "invalid_request"),
        ("/prompts/" + "a" * 255, 422, "invalid_request"),
        ("/prompts/" + "a" * 256, 404, "no_such_path"),
        ("/prompts/" + "a" * 20_000, 404, "no_such_path"),
        ("/prompts/prm_%00", 400, "malformed_request"),
        ("/prompts/%ff", 400, "malformed_request"),
        ("/prompts/%", 400, "malformed_request"),
        ("/prompts/%2e%2e", 404, "not_found"),
        ("/prompts/%7B%22%24gt%22%3A%22%22%7D", 404, "not_found"),
        ("/prompts/a%2Fversions", 404, "not_found"),
        ("/prompts/", 404, "no_such_path"),
        ("/prompts/a/versions/0", 422, "invalid_request"),
        ("/prompts/a/versions/one", 422, "invalid_request"),
        ("/prompts/a/versions/-1", 422, "invalid_request"),
        ("/prompts/a/versions/" + "9" * 200, 422, "invalid_request"),
        ("/prompts/a/versions/%D9%A1", 422, "invalid_request"),
        ("/users/" + "a" * 65, 422, "invalid_request"),
        ("/jobs/" + "a" * 129, 422, "invalid_request"),
        ("/nothing/here", 404, "no_such_path"),
    ],
)
def test_a_path_that_makes_no_sense_is_refused(seller: Person, path: str, status: int, code: str) -> None:
    assert_problem(_get_raw(seller, path), status, code)


def test_a_method_that_a_path_does_not_know_is_refused(seller: Person) -> None:
    response = seller.client.put("/prompts", json={})
    assert_problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]


def _get_raw(person: Person, target: str) -> httpx.Response:
    """A GET whose target goes out as it is written here: httpx would mend some of them."""
    url = httpx.URL(person.client.base_url, raw_path=b"/api/v1" + target.encode())
    return person.client.send(httpx.Request("GET", url, headers=person.client.headers))


# Tokens


def _token(**changes: Any) -> str:
    return mint("seller", project_id=changes.pop("project_id", DEMO_PROJECT), **changes)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "unauthenticated"),
        (b"", "malformed_authorization"),
        (b"Bearer", "malformed_authorization"),
        (b"Basic c2VsbGVyOg==", "malformed_authorization"),
        (b"Bearer a b", "malformed_authorization"),
        (b"Bearer " + b"a" * 9000, "malformed_authorization"),
        (b"Bearer \xc3\xa4", "malformed_authorization"),
        (b"Bearer garbage", "invalid_token"),
        (b"Bearer a.b.c", "invalid_token"),
        (b"Bearer ...", "invalid_token"),
        (b"Bearer bnVsbA.bnVsbA.", "invalid_token"),
        (b"Bearer W10.W10.W10", "invalid_token"),
        (b"Bearer /w./w./w", "invalid_token"),
        (b"Bearer " + _token(project_id="another").encode(), "invalid_token"),
        (b"Bearer " + _token(now=lambda: LONG_AGO).encode(), "token_expired"),
        (lambda: b"Bearer " + _token(now=lambda: time.time() + 3600).encode(), "invalid_token"),
    ],
)
def test_without_a_good_token_nothing_is_done(
    service: Service, authorization: bytes | Callable[[], bytes] | None, code: str
) -> None:
    if callable(authorization):  # it tells the time when it is asked
        authorization = authorization()
    headers = {b"Content-Type": b"application/json"}
    if authorization is not None:
        headers[b"Authorization"] = authorization
    for method, path in (("POST", "/prompts"), ("GET", "/users/me"), ("POST", "/billing/checkouts")):
        body = b'{"name": "a"}' if method == "POST" else None
        response = service.visitor.request(method, f"/api/v1{path}", content=body, headers=headers)
        assert_problem(response, 401, code)
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_bad_token_is_refused_where_none_is_needed(service: Service) -> None:
    listings = "/api/v1/marketplace/listings"
    assert service.visitor.get(listings).status_code == 200
    assert_problem(service.visitor.get(listings, headers={"Authorization": "Bearer garbage"}), 401, "invalid_token")


@pytest.mark.parametrize("claims", [{"sub": ""}, {"sub": "a" * 129}, {"sub": 5}, {"exp": "never"}, {"iat": None}])
def test_a_token_with_strange_claims_is_refused(service: Service, claims: dict[str, Any]) -> None:
    response = service.visitor.get("/api/v1/users/me", headers={"Authorization": f"Bearer {_with(claims)}"})
    assert_problem(response, 401, "invalid_token")


def _with(claims: dict[str, Any]) -> str:
    header, payload, _ = _token().split(".")
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps({**decoded, **claims}).encode()).decode().rstrip("=")
    return f"{header}.{changed}."


# Stripe's webhook


def _event(**changes: Any) -> str:
    event = {"id": "evt_1", "object": "event", "type": "x.y", "created": LONG_AGO, "livemode": False, "data": {}}
    return json.dumps({**event, **changes})


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"garbage",
        b"t=,v1=",
        b"t=abc,v1=abc",
        b"t=1,v1=abc",
        b"v1=abc",
        b"t=1",
        b"t=99999999999999999999999999,v1=abc",
        b"t=1,v1=" + b"a" * 5000,
        b"t=\xc2\xb2,v1=abc",
        b"t=1,v1=\xff\xfe",
        b"=,=,=",
    ],
)
def test_an_event_with_a_bad_signature_is_refused(service: Service, signature: bytes) -> None:
    assert_problem(service.send_event(_event(), signature=signature), 400, "bad_signature")


def test_an_event_without_a_signature_is_refused(service: Service) -> None:
    for path in ("/api/v1/webhooks/stripe", "/webhooks/stripe"):
        assert_problem(service.visitor.post(path, content=_event(), headers=JSON), 400, "bad_signature")


@pytest.mark.parametrize("seconds", [-3600, -330, 330, 3600, 10**9])
def test_an_event_signed_at_another_time_is_refused(service: Service, seconds: int) -> None:
    assert_problem(service.send_event(_event(), at=int(time.time()) + seconds), 400, "bad_signature")


def test_an_event_signed_with_another_secret_is_refused(service: Service) -> None:
    assert_problem(service.send_event(_event(), secret=WEBHOOK_SECRET + "x"), 400, "bad_signature")


@pytest.mark.parametrize(
    "payload",
    [
        "[]",
        "null",
        "{}",
        '"event"',
        "5",
        "{",
        "",
        _event(object="thin_event"),
        _event(id=None),
        _event(id=""),
        _event(id="e" * 256),
        _event(id="evt_\0"),
        _event(type=5),
        _event(created="now"),
        _event(created=True),
        _event(created=2**70),
        _event(livemode="no"),
        _event(data={"object": {"a": 10**30}}),
        _event(data={"object": {"a": "b\0"}}),
        _event(data="\ud800"),
    ],
)
def test_a_genuine_body_that_is_no_event_is_refused(service: Service, payload: str) -> None:
    assert_problem(service.send_event(payload), 400, "not_an_event")


def test_a_body_that_is_not_utf8_is_no_event(service: Service) -> None:
    signature = f"t={int(time.time())},v1={'a' * 64}"
    assert_problem(service.send_event(b'{"id": "\xff"}', signature=signature), 400, "bad_signature")
    payload, now = _event(data={"object": {"a": "?"}}).encode().replace(b"?", b"\xff"), int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), b"%d.%s" % (now, payload), hashlib.sha256).hexdigest()
    response = service.send_event(payload, signature=f"t={now},v1={digest}")  # signed well, over these bytes
    assert_problem(response, 400, "bad_signature")


def test_an_event_beyond_512_kibibytes_is_refused(service: Service) -> None:
    huge = _event(data={"object": {"a": "x" * 600_000}})
    assert_problem(service.send_event(huge), 413, "body_too_large")


def test_a_webhook_knows_only_post(service: Service) -> None:
    assert_problem(service.visitor.get("/webhooks/stripe"), 405, "method_not_allowed")


def test_without_a_webhook_secret_events_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(
        tmp_path_factory.mktemp("no-secret"), STRIPE_SECRET_KEY="sk_test_none", STRIPE_WEBHOOK_SECRET=""
    ) as bare:
        response = bare.send_event(_event())
        assert_problem(response, 503, "webhooks_not_configured")
        assert int(response.headers["retry-after"]) > 0
        with bare.database() as client:
            assert not any("event" in name and rows for name, rows in documents(client).items())


def test_nothing_of_all_this_was_a_surprise(service: Service) -> None:
    surprises = ("unexpected_error", "failed_while_answering", "Traceback")
    assert [line[:500] for line in service.log.splitlines() if any(word in line for word in surprises)] == []
