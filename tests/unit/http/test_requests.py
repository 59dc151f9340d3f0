from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from promptforge.http.app import HttpSettings
from promptforge.http.body import BodyLimits
from promptforge.http.routing import get
from tests.unit.http.sample import (
    ALICE,
    OPERATOR,
    Colour,
    CreateThing,
    GetThing,
    ListThings,
    NoMetrics,
    Parts,
    RenameThing,
    serving,
)

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


async def test_a_query_is_answered_with_the_view_as_json() -> None:
    async with serving() as service:
        response = await service.client.get("/api/v1/things/abc")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "id": "abc",
        "title": "Vase",
        "colour": "red",
        "made_at": "2026-11-01T00:00:00Z",
        "size": None,
    }


async def test_a_command_that_makes_something_says_where_it_is() -> None:
    async with serving() as service:
        response = await service.client.post("/api/v1/things", json={"title": "Vase", "colour": "blue"}, headers=ALICE)
        assert service.things.received == [CreateThing(title="Vase", colour=Colour.BLUE)]
    assert response.status_code == 201
    assert response.headers["location"] == "/api/v1/things/thg%201"


async def test_a_command_without_a_reply_is_answered_with_204_and_nothing() -> None:
    async with serving() as service:
        response = await service.client.delete("/api/v1/things/abc", headers=OPERATOR)
    assert (response.status_code, response.content) == (204, b"")


async def test_a_page_names_the_following_one_in_its_body_and_in_a_link() -> None:
    async with serving() as service:
        first = await service.client.get("/api/v1/things?limit=2&colour=red&cursor=")
        assert first.status_code == 422  # an empty cursor is none
        first = await service.client.get("/api/v1/things?limit=2&colour=red")
        cursor = first.json()["next"]
        assert "next1" not in cursor
        assert first.links["next"]["url"] == f"/api/v1/things?limit=2&colour=red&cursor={cursor}"
        second = await service.client.get(first.links["next"]["url"])
        assert service.things.received[-1] == ListThings(limit=2, colour=Colour.RED, cursor="next1")
        assert second.json()["next"] is None
        assert "link" not in second.headers


async def test_a_fixed_segment_wins_over_a_parameter() -> None:
    async with serving() as service:
        service.things.go_on.set()
        waited = await service.client.get("/api/v1/things/wait")
        other = await service.client.get("/api/v1/things/waits")
    assert (waited.json()["id"], other.json()["id"]) == ("waited", "waits")


async def test_a_parameter_is_tried_where_the_fixed_segment_leads_nowhere() -> None:
    routes = [get("/a/{thing_id}/end", GetThing), get("/a/me", ListThings)]
    async with serving(Parts(routes=routes)) as service:
        assert (await service.client.get("/api/v1/a/me/end")).json()["id"] == "me"
        assert (await service.client.get("/api/v1/a/me")).json()["next"]
        assert (await service.client.get("/api/v1/a/other")).status_code == 404


async def test_a_parameter_is_decoded_after_the_path_was_split() -> None:
    async with serving() as service:
        response = await service.client.get("/api/v1/things/a%2Fb%20%C3%A9")
    assert response.json()["id"] == "a/b é"


@pytest.mark.parametrize("path", ["/nothing", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/things/", "/docs/"])
async def test_what_is_not_served_is_a_404_problem_and_never_a_redirect(path: str) -> None:
    async with serving() as service:
        response = await service.client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "no_such_path"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/things/abc", "DELETE, GET, HEAD, PATCH, OPTIONS"),
        ("TRACE", "/api/v1/things", "GET, HEAD, POST, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/webhooks/stripe", "POST, OPTIONS"),
    ],
)
async def test_another_method_is_a_405_problem_that_says_which_are_known(method: str, path: str, allowed: str) -> None:
    async with serving() as service:
        response = await service.client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/v1/things", "/health", "/metrics", "/webhooks/stripe", "/docs"])
async def test_options_tells_the_methods_that_a_refusal_tells(path: str) -> None:
    async with serving(Parts(metrics=NoMetrics())) as service:
        response = await service.client.options(path)
        refused = await service.client.request("TRACE", path)
    assert response.status_code == 204
    assert "OPTIONS" in response.headers["allow"]
    assert refused.headers["allow"] == response.headers["allow"]


@pytest.mark.parametrize("token", ["geheim-ä", "secret"])
async def test_a_scrape_token_is_compared_whatever_its_characters(token: str) -> None:
    parts = Parts(settings=HttpSettings(version="1", metrics_token=token), metrics=NoMetrics())
    async with serving(parts) as service:
        good = await service.client.get("/metrics", headers={"authorization": "Bearer secret"})
        bad = await service.client.get("/metrics", headers={"authorization": "Bearer secret2"})
    assert (good.status_code, bad.status_code) == (200 if token == "secret" else 401, 401)


@pytest.mark.parametrize(("name", "value"), [("idempotency-key", "a"), ("authorization", "Bearer alice")])
async def test_what_has_one_value_comes_once(name: str, value: str) -> None:
    async with serving() as service:
        headers = [*ALICE.items(), (name, value), (name, value)]
        response = await service.client.post("/api/v1/things", json={"title": "a"}, headers=headers)
        assert service.things.received == []
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
    assert name in response.json()["detail"]


async def test_lists_in_several_lines_are_joined() -> None:
    path = "/api/v1/things/abc"
    large = "/api/v1/openapi.json"
    async with serving() as service:
        tag = (await service.client.get(path)).headers["etag"]
        for tags in ((tag, '"x"'), ('"x"', tag)):
            known = await service.client.get(path, headers=[("if-none-match", one) for one in tags])
            assert known.status_code == 304
        for codings in (("gzip", "identity;q=0.5"), ("identity;q=0.5", "gzip")):
            packed = await service.client.get(large, headers=[("accept-encoding", one) for one in codings])
            assert packed.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("gzip, identity", 415), ("Identity", 201)])
async def test_a_body_with_a_content_coding_is_refused(coding: str, status: int) -> None:
    async with serving() as service:
        headers = {**ALICE, "content-encoding": coding}
        response = await service.client.post("/api/v1/things", json={"title": "a"}, headers=headers)
    assert response.status_code == status
    if status == 415:
        assert response.json()["code"] == "unsupported_content_coding"
        assert response.headers["accept-encoding"] == "identity"


async def test_a_post_does_nothing_where_it_depends_on_what_cannot_be_judged() -> None:
    async with serving() as service:
        for tag in ('"x"', "*"):
            response = await service.client.post(
                "/api/v1/things", json={"title": "a"}, headers={**ALICE, "if-match": tag}
            )
            assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert service.things.received == []


@pytest.mark.parametrize("path", ["/api/v1/things/abc", "/", "/health", "/docs", "/api/v1/openapi.json"])
async def test_head_answers_as_get_does_without_a_body(path: str) -> None:
    async with serving() as service:
        head = await service.client.head(path)
        full = await service.client.get(path)
    assert head.status_code == full.status_code == 200
    assert head.content == b""
    if path != "/health":  # whose latencies differ
        assert head.headers["content-length"] == full.headers["content-length"]


async def test_head_is_not_answered_where_get_has_an_effect() -> None:
    routes = [get("/things/{thing_id}/read", RenameThing)]
    async with serving(Parts(routes=routes)) as service:
        head = await service.client.head("/api/v1/things/a/read", headers=ALICE)
        assert (head.status_code, head.headers["allow"]) == (405, "GET, OPTIONS")
        assert service.things.received == []
        assert (await service.client.get("/api/v1/things/a/read", headers=ALICE)).status_code == 200


async def test_a_quick_request_is_not_watched_for_its_clients_leaving() -> None:
    async def receive() -> dict[str, object]:
        raise AssertionError("somebody listens")

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async with serving() as service:
        path = "/api/v1/things/abc"
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
        }
        await service.app(scope, receive, send)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/jsonp",
        "application/problem+json",
    ],
)
async def test_a_body_of_another_type_is_refused_unread(content_type: str | None) -> None:
    async with serving() as service:
        headers = {**ALICE, **({"content-type": content_type} if content_type else {})}
        response = await service.client.post("/api/v1/things", content=b'{"title":"a"}', headers=headers)
        assert service.things.received == []
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
async def test_json_in_utf_8_is_taken_however_it_is_written(content_type: str) -> None:
    async with serving() as service:
        headers = {**ALICE, "content-type": content_type}
        response = await service.client.post("/api/v1/things", content=b'{"title":"a"}', headers=headers)
    assert response.status_code == 201


async def test_a_body_may_have_exactly_the_limit() -> None:
    settings = HttpSettings(version="1", body=BodyLimits(max_bytes=100))
    async with serving(Parts(settings=settings)) as service:
        fits = b'{"title":"a"}'.ljust(100)
        taken = await service.client.post("/api/v1/things", content=fits, headers={**ALICE, **JSON})
        refused = await service.client.post("/api/v1/things", content=fits + b" ", headers={**ALICE, **JSON})
    assert (taken.status_code, refused.status_code) == (201, 413)


async def test_the_unauthorised_are_told_so_before_anything_about_their_body() -> None:
    async with serving() as service:
        response = await service.client.post("/api/v1/things", content=b"{", headers=JSON)
        assert (response.status_code, service.things.received) == (401, [])
        response = await service.client.request("DELETE", "/api/v1/things/a?nonsense=1", headers=ALICE)
        assert (response.status_code, service.things.received) == (403, [])


async def test_an_empty_body_is_enough_where_nothing_is_required() -> None:
    async with serving() as service:
        response = await service.client.patch("/api/v1/things/abc", headers=ALICE)
        assert response.status_code == 200
        empty: httpx.Response = await service.client.post("/api/v1/things", headers=ALICE)
    assert (empty.status_code, empty.json()["code"]) == (400, "malformed_request")
