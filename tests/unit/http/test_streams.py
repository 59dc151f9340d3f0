"""Replies that come piece by piece: as events, whole, broken, drained, and as they are documented."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError, Conflict, Unavailable
from promptforge.core.messages import Command, requires
from promptforge.core.runtime import Actor, handles
from promptforge.core.streams import Delta, ReplyStream
from promptforge.http import streams
from promptforge.http.binding import Binder
from promptforge.http.exchange import Exchange
from promptforge.http.live import MOST_OF_ONE_USER
from promptforge.http.openapi import document
from promptforge.http.routing import post, stream
from promptforge.http.streams import accepts_events
from tests.support.virtual_time import run_virtually
from tests.unit.http.sample import ALICE, Parts, Served, serving

pytestmark = pytest.mark.anyio

EVENTS = {**ALICE, "accept": "text/event-stream"}
FAULTS = {"conflict": Conflict, "away": Unavailable, "bug": ZeroDivisionError}


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, whole."""

    text: str


@requires(scope="things:write")
class Say(Command[ReplyStream[Said]]):
    """Say a text word by word."""

    text: str
    fails_at: int = 99
    fails_how: str = "conflict"
    pause: float = 0.0


class Speaker(Actor):
    name = "speaker"

    def __init__(self) -> None:
        self.begun = 0
        self.given_up = 0

    @handles(Say)
    async def say(self, message: Say, context: Context) -> ReplyStream[Said]:
        return ReplyStream(self._words(message))

    async def _words(self, message: Say) -> AsyncGenerator[Delta | Said, None]:
        self.begun += 1
        whole = False
        try:
            for number, word in enumerate(message.text.split()):
                await anyio.sleep(message.pause)
                if number == message.fails_at:
                    raise FAULTS[message.fails_how]
                yield Delta(word)
            whole = True
        finally:
            self.given_up += not whole
        yield Said(message.text)


ROUTES = (stream("/say", Say),)


@asynccontextmanager
async def speaking() -> AsyncIterator[tuple[Served, Speaker]]:
    speaker = Speaker()
    async with serving(Parts(routes=ROUTES, actors=[speaker])) as served:
        yield served, speaker


def events_of(body: str) -> list[tuple[str, object]]:
    """Name and data of each event, pings left out."""
    events = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


async def test_who_accepts_events_gets_the_pieces_and_then_the_whole() -> None:
    async with speaking() as (served, _):
        answer = await served.client.post("/api/v1/say", json={"text": "one two"}, headers=EVENTS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert events_of(answer.text) == [
        ("delta", {"text": "one"}),
        ("delta", {"text": "two"}),
        ("done", {"text": "one two"}),
    ]


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream;q=0", ""])
async def test_everyone_else_gets_it_whole(accept: str) -> None:
    async with speaking() as (served, _):
        answer = await served.client.post("/api/v1/say", json={"text": "one two"}, headers={**ALICE, "accept": accept})
    assert (answer.status_code, answer.json()) == (200, {"text": "one two"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("headers", [ALICE, EVENTS])
async def test_what_goes_wrong_before_the_first_piece_is_a_problem_like_any_other(headers: dict[str, str]) -> None:
    async with speaking() as (served, speaker):
        answer = await served.client.post("/api/v1/say", json={"text": "one", "fails_at": 0}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert answer.headers["content-type"] == "application/problem+json"
        invalid = await served.client.post("/api/v1/say", json={}, headers=headers)
        unknown = await served.client.post(
            "/api/v1/say", json={"text": "x"}, headers={"accept": headers.get("accept", "")}
        )
        assert (invalid.status_code, unknown.status_code) == (422, 401)
        assert speaker.begun == 1


@pytest.mark.parametrize(("how", "code", "status"), [("conflict", "conflict", 409), ("bug", "internal_error", 500)])
async def test_what_goes_wrong_later_is_the_last_event(how: str, code: str, status: int) -> None:
    asked = {"text": "one two three", "fails_at": 2, "fails_how": how}
    async with speaking() as (served, _):
        answer = await served.client.post("/api/v1/say", json=asked, headers=EVENTS)
    *pieces, (name, problem) = events_of(answer.text)
    assert [name for name, _ in pieces] == ["delta", "delta"]
    assert name == "error"
    assert isinstance(problem, dict)
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "ZeroDivision" not in answer.text


def test_a_draining_process_lets_a_stream_go_on_for_a_moment_and_then_ends_it() -> None:
    async def main() -> None:
        async with speaking() as (served, speaker):
            served.system.draining = True
            asked = {"text": "word " * 50, "pause": streams.LAST_SECONDS / 10}
            answer = await served.client.post("/api/v1/say", json=asked, headers=EVENTS)
            *pieces, (name, problem) = events_of(answer.text)
            assert 8 < len(pieces) < 20
            assert isinstance(problem, dict)
            assert (name, problem["code"], problem["retryable"]) == ("error", "stopping", True)
            assert speaker.given_up == 1

    run_virtually("asyncio", main)


async def test_a_stream_costs_as_much_of_the_budget_as_what_is_expensive() -> None:
    async with speaking() as (served, _):
        answer = await served.client.post("/api/v1/say", json={"text": "one"}, headers=EVENTS)
    assert answer.headers["ratelimit-policy"].startswith('"expensive"')


async def test_each_stream_gives_its_place_back() -> None:
    async with speaking() as (served, _):
        for _ in range(MOST_OF_ONE_USER + 2):
            answer = await served.client.post("/api/v1/say", json={"text": "one"}, headers=EVENTS)
            assert answer.status_code == 200


ACCEPTED = [
    ("text/event-stream", True),
    ("TEXT/EVENT-STREAM; charset=utf-8", True),
    ("application/json, text/event-stream", True),
    ("text/event-stream;q=0.5, application/json", False),
    ("application/json;q=0.5, text/event-stream;q=0.9", True),
    ("text/event-stream;q=nonsense", False),
    ("text/*", False),
    ("*/*", False),
]


@pytest.mark.parametrize(("accept", "wanted"), ACCEPTED)
def test_the_accept_header_decides(accept: str, *, wanted: bool) -> None:
    headers = {b"accept": accept.encode()}
    scope = {"method": "POST", "path": "/", "raw_path": b"/", "query_string": b""}
    assert accepts_events(Exchange(scope, headers, request_id="r", trace_id="t", client=None)) is wanted


async def test_a_table_that_mistakes_a_stream_for_a_reply_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ReplyStream"):
        async with serving(Parts(routes=(post("/say", Say),), actors=[Speaker()])):
            pass


def test_the_documentation_shows_both_forms() -> None:
    operation = document([(ROUTES[0], Binder(ROUTES[0]))], version="1")["paths"]["/api/v1/say"]["post"]
    content = operation["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Said"}
    assert "event: done" in content["text/event-stream"]["example"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Idempotency-Key"]
