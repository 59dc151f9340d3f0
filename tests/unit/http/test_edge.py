from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest
import structlog
from starlette.types import Receive, Scope, Send
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from promptforge.core.errors import (
    ConfigurationError,
    Conflict,
    DatabaseUnavailable,
    Invalid,
    MailboxFull,
    OutcomeUnknown,
    PromptForgeError,
)
from promptforge.http import middleware
from promptforge.http.app import HttpSettings
from promptforge.http.cors import Cors
from promptforge.http.middleware import EdgeMiddleware
from tests.unit.http.sample import ALICE, Parts, serving

pytestmark = pytest.mark.anyio

FAIL = "/api/v1/things/fail/now"


@pytest.mark.parametrize("given", ["abc", "Root=1-67891233-abcdef", "a" * 128])
async def test_a_safe_request_id_is_kept(given: str) -> None:
    async with serving() as service:
        response = await service.client.get("/api/v1/nothing", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == response.json()["request_id"] == given


async def test_a_problem_tells_the_trace_it_belongs_to() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with serving() as service:
        known = await service.client.get("/api/v1/nothing", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        fresh = await service.client.get("/api/v1/nothing", headers={"traceparent": "nonsense"})
    assert known.json()["trace_id"] == trace
    assert re.fullmatch("[0-9a-f]{32}", fresh.json()["trace_id"])


@pytest.mark.parametrize("given", [None, "", "a" * 129, "a b", "<script>", 'a"b', "a\tb"])
async def test_another_request_id_is_replaced_by_a_fresh_one(given: str | None) -> None:
    headers = {} if given is None else {"x-request-id": given}
    async with serving() as service:
        made = [(await service.client.get("/", headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch(r"req_[0-9a-hjkmnp-tv-z]{26}", one) for one in made)
    assert made[0] < made[1] or made[0][:14] == made[1][:14]  # they sort by time
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("garbage", False),
    ],
)
async def test_a_valid_traceparent_names_the_trace_and_another_starts_one(traceparent: str, *, kept: bool) -> None:
    async with serving() as service:
        with capture_logs() as logs:
            await service.client.get("/", headers={"traceparent": traceparent})
    trace_id = logs[-1]["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert (trace_id == "0af7651916cd43dd8448eb211c80319c") is kept


async def test_every_response_has_the_security_headers() -> None:
    async with serving() as service:
        for path in ("/", "/api/v1/things/abc", "/api/v1/nothing", "/docs"):
            headers = (await service.client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "strict-transport-security" not in headers  # without TLS it would lock a developer out
            assert "default-src 'none'" in headers["content-security-policy"]
        assert (await service.client.get("/api/v1/things/abc")).headers["cache-control"] == "no-store"


async def test_in_production_browsers_are_told_to_come_by_https_only() -> None:
    async with serving(Parts(settings=HttpSettings(version="1", https_only=True))) as service:
        for path in ("/", "/api/v1/things/abc", "/api/v1/nothing"):
            assert (await service.client.get(path)).headers["strict-transport-security"] == "max-age=31536000"


async def test_one_line_is_logged_per_request_with_the_template_and_without_the_query() -> None:
    async with serving() as service:
        await service.client.get("/", headers=ALICE)  # nothing about authentication is asked there
        with capture_logs() as logs:
            response = await service.client.patch("/api/v1/things/abc?secret=canary", json={}, headers=ALICE)
            await service.client.patch("/api/v1/things/abc", json={"title": "canary"}, headers=ALICE)
    assert [line["event"] for line in logs] == ["http.request", "http.request"]
    first = logs[0]
    assert first.pop("duration_ms") >= 0
    assert first == {
        "event": "http.request",
        "log_level": "info",
        "method": "PATCH",
        "route": "/api/v1/things/{thing_id}",
        "path": "/api/v1/things/abc",
        "status": 422,
        "bytes": len(response.content),
        "client": "127.0.0.1",
        "user_id": "usr_alice",
        "key_id": None,
        "problem": "invalid_request",
        "request_id": response.headers["x-request-id"],
        "trace_id": first["trace_id"],
    }
    assert "canary" not in str(logs)
    assert "Bearer" not in str(logs)


async def test_whatever_is_logged_within_a_request_has_its_id() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(get_contextvars())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    structlog.contextvars.clear_contextvars()
    sent = await drive(EdgeMiddleware(app, cors=Cors(())), [{"type": "http.request"}])
    assert seen[0]["request_id"] == dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert len(seen[0]["trace_id"]) == 32
    assert get_contextvars() == {}


async def test_an_unexpected_error_is_told_without_its_words_and_logged_with_its_traceback() -> None:
    async with serving() as service:
        service.things.failures["now"] = lambda: RuntimeError("canary")
        with capture_logs() as logs:
            response = await service.client.get(FAIL)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["retryable"]) == (500, "internal_error", False)
    assert problem["request_id"] in problem["detail"]
    assert "canary" not in response.text
    error = next(line for line in logs if line["log_level"] == "error")
    assert isinstance(error["exc_info"], RuntimeError)
    assert logs[-1]["status"] == 500


@pytest.mark.parametrize("error", [ConfigurationError, PromptForgeError])
async def test_an_error_of_ours_that_is_no_ones_request_keeps_its_detail_too(error: type[PromptForgeError]) -> None:
    async with serving() as service:
        service.things.failures["now"] = lambda: error("canary")
        response = await service.client.get(FAIL)
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "canary" not in response.text


async def test_a_drivers_error_is_translated_at_the_edge() -> None:
    class DriverError(Exception):
        pass

    def translate(error: BaseException) -> PromptForgeError | None:
        return DatabaseUnavailable(retry_after_seconds=2.5) if isinstance(error, DriverError) else None

    async with serving(Parts(translate=translate)) as service:
        service.things.failures["now"] = DriverError
        response = await service.client.get(FAIL)
        assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
        assert response.headers["retry-after"] == "3"
        assert response.json()["retryable"] is True
        service.things.failures["now"] = ValueError
        assert (await service.client.get(FAIL)).status_code == 500


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Conflict("Already sold", extra={"sold_at": 5, "status": 1}), 409, "conflict", None),
        (MailboxFull(), 503, "overloaded", "1"),
        (OutcomeUnknown(), 503, "outcome_unknown", None),
        (Invalid("The theme is unknown"), 422, "invalid_request", None),
    ],
)
async def test_an_error_becomes_its_problem(
    error: PromptForgeError, status: int, code: str, retry_after: str | None
) -> None:
    async with serving() as service:
        service.things.failures["now"] = lambda: error
        response = await service.client.get(FAIL)
        problem = response.json()
        kind = (await service.client.get(problem["type"])).json()
    assert response.status_code == problem["status"] == kind["status"] == status
    assert problem["code"] == kind["code"] == code
    assert (problem["title"], problem["detail"]) == (error.title, error.detail)
    assert response.headers.get("retry-after") == retry_after
    assert response.headers["content-type"] == "application/problem+json"
    if error.extra:
        assert problem["sold_at"] == 5


async def test_an_answer_that_breaks_off_is_not_followed_by_a_problem() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with capture_logs() as logs:
        sent = await drive(EdgeMiddleware(app, cors=Cors(())), [])
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert "http.failed_while_answering" in [line["event"] for line in logs]


async def test_a_body_that_never_ends_cannot_keep_an_answer_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind the server: one queue, bounded, that must be emptied before the connection can be closed."""
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.05)
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
    sent: list[MutableMapping[str, Any]] = []

    async def feed() -> None:
        while True:
            await queue.put({"type": "http.request", "body": b"x", "more_body": True})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if not message.get("more_body", True):
            await queue.put({"type": "http.disconnect"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done", "more_body": False})

    feeding = asyncio.create_task(feed())
    with anyio.fail_after(60):
        await EdgeMiddleware(app, cors=Cors(()))(scope_of([(b"transfer-encoding", b"chunked")]), queue.get, send)
    feeding.cancel()
    assert [message.get("body") for message in sent[1:]] == [b"done", b""]


def scope_of(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "http_version": "1.1",
    }


async def drive(app: EdgeMiddleware, messages: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Run one request with these messages from the client; answers what was sent."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope_of([]), receive, send)
    return sent
