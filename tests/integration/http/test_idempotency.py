"""A POST that is sent again, however it was sent and whoever died in between, on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import Mongo, Session
from promptforge.http.idempotency import INDEXES, KEPT, REPLIES, Replies
from promptforge.http.replies import Rendered
from tests.support.notes import Noted, notes_service

pytestmark = pytest.mark.anyio
KEY = {"idempotency-key": "key-1"}
HELLO = {"text": "hello"}


async def write(service: Noted, headers: dict[str, str] = KEY, *, path: str = "/notes", body: Any = HELLO) -> Any:
    return await service.client.post(path, json=body, headers=headers)


async def written(mongo: Mongo) -> int:
    return await mongo.collection("notes").count_documents({})


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


async def test_the_same_request_gets_the_same_reply_and_happens_once(mongo: Mongo) -> None:
    async with notes_service(mongo) as service, notes_service(mongo) as other:
        first, again = await write(service), await write(other)
        reordered = await service.client.post(
            "/notes", content=b'{ "text" : "hello" }', headers={**KEY, "content-type": "application/json"}
        )
    assert first.status_code == 201
    for replay in (again, reordered):
        assert (replay.status_code, replay.content) == (201, first.content)
        assert replay.headers["location"] == first.headers["location"]
        assert replay.headers["content-type"] == "application/json"
        assert replay.headers["idempotency-replayed"] == "true"
        assert replay.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotency-replayed" not in first.headers
    assert await written(mongo) == 1


async def test_without_a_key_every_request_counts(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        assert [(await write(service, {})).status_code for _ in range(2)] == [201, 201]
    assert await written(mongo) == 2
    assert await mongo.collection(REPLIES).count_documents({}) == 0


async def test_another_body_or_query_is_another_request(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        await write(service)
        assert_problem(await write(service, body={"text": "bye"}), 422, "idempotency_key_reused")
    assert await written(mongo) == 1


async def test_keys_belong_to_who_sends_them_and_to_the_path(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        first = await write(service)
        for token in ("bob", "alice.key_1"):
            other = await write(service, {**KEY, "authorization": f"Bearer {token}"})
            assert other.status_code == 201
            assert other.json()["id"] != first.json()["id"]
        assert (await write(service, path="/notes/elsewhere")).status_code == 201
    assert await written(mongo) == 3


async def test_a_path_is_the_same_however_it_is_percent_encoded(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        one = await write(service, path="/notes/n%20a/answers")
        for path in ("/%6eotes/n%20a/answers", "/notes/%6E%20%61/answ%65rs", "/notes/n%20a/answers"):
            assert (await write(service, path=path)).json() == one.json()
        another = await write(service, path="/notes/n%20b/answers")
        assert another.json() != one.json()
    assert await written(mongo) == 2


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "tab\t", "ä"])
async def test_a_key_that_is_none_is_refused(mongo: Mongo, key: str) -> None:
    async with notes_service(mongo) as service:
        refused = await service.client.post("/notes", json=HELLO, headers={b"idempotency-key": key.encode("latin-1")})
    assert_problem(refused, 400, "malformed_request")


async def test_a_second_request_while_the_first_is_running_is_told_so(mongo: Mongo) -> None:
    async with notes_service(mongo) as service, notes_service(mongo) as other:
        service.notes.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, service)
            while not service.notes.waiting:
                await anyio.sleep(0.01)
            for process in (service, other):
                refused = await write(process)
                assert_problem(refused, 409, "request_still_running")
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["retryable"] is True
            service.notes.gate.set()
        assert (await write(other)).headers["idempotency-replayed"] == "true"
    assert await written(mongo) == 1


async def test_many_at_once_are_one(mongo: Mongo) -> None:
    statuses: list[int] = []

    async def send(process: Noted) -> None:
        while True:
            status = (await write(process)).status_code
            if status != 409:
                statuses.append(status)
                return
            await anyio.sleep(0.05)

    async with notes_service(mongo) as one, notes_service(mongo) as two, anyio.create_task_group() as tasks:
        for process in (one, two) * 10:
            tasks.start_soon(send, process)
    assert statuses == [201] * 20
    assert await written(mongo) == 1


@pytest.mark.parametrize("path", ["/notes", "/notes/elsewhere"])
async def test_a_failed_request_can_be_sent_again(mongo: Mongo, path: str) -> None:
    async with notes_service(mongo) as service:
        service.notes.full = True
        assert_problem(await write(service, path=path), 409, "full")
        service.notes.full = False
        again = await write(service, path=path)
        assert again.status_code == 201
        assert "idempotency-replayed" not in again.headers
        assert len(service.notes.elsewhere) <= 1
    assert await mongo.collection(REPLIES).count_documents({}) == 1


async def test_a_request_that_was_not_valid_takes_no_key(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        assert (await write(service, body={"text": ""})).status_code == 422
        assert (await write(service)).status_code == 201


async def test_a_reply_is_stored_only_where_its_effect_is(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        service.transactions.broken = True
        assert_problem(await write(service), 503, "database_unavailable")
        service.transactions.broken = False
        assert await written(mongo) == 0
        again = await write(service)
        assert again.status_code == 201
        assert "idempotency-replayed" not in again.headers
    assert await written(mongo) == 1


class LosesReplies(Replies):
    """MongoDB goes away just when a reply is to be kept."""

    async def store(self, identifier: str, claim: str, reply: Rendered, session: Session | None) -> None:
        raise DatabaseUnavailable


async def test_an_effect_whose_reply_is_lost_is_not_said_to_have_failed(mongo: Mongo) -> None:
    async with notes_service(mongo, replies=LosesReplies(mongo)) as service:
        assert_problem(await write(service, path="/notes/elsewhere"), 503, "outcome_unknown")
        assert len(service.notes.elsewhere) == 1
        assert_problem(await write(service, path="/notes/elsewhere"), 409, "request_still_running")
        assert len(service.notes.elsewhere) == 1
        assert_problem(await write(service), 503, "database_unavailable")
    assert await written(mongo) == 0


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_what_a_dead_process_claimed_is_taken_over_and_it_can_no_longer_commit(mongo: Mongo) -> None:
    clock = Clock()
    replies = Replies(mongo, now=clock)
    async with notes_service(mongo, replies=replies) as stuck, notes_service(mongo, replies=replies) as other:
        stuck.notes.gate = anyio.Event()
        late: list[httpx.Response] = []

        async def send() -> None:
            late.append(await write(stuck))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            while not stuck.notes.waiting:
                await anyio.sleep(0.01)
            clock.now += timedelta(seconds=61)
            first = await write(other)
            assert first.status_code == 201
            stuck.notes.gate.set()
    assert_problem(late[0], 409, "claim_taken")
    assert await written(mongo) == 1


async def test_a_reply_is_kept_for_a_day(mongo: Mongo) -> None:
    clock = Clock()
    async with notes_service(mongo, replies=Replies(mongo, now=clock)) as service:
        first = await write(service)
        clock.now += KEPT - timedelta(seconds=1)
        assert (await write(service)).json() == first.json()
        clock.now += timedelta(seconds=2)
        assert (await write(service, body={"text": "bye"})).json()["text"] == "bye"
    assert [index.ttl_seconds for index in INDEXES[REPLIES]] == [0]


async def test_secrets_are_not_stored(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        first, again = [await write(service, path="/notes/secrets", body={}) for _ in range(2)]
    assert (first.json()["secret"], again.json()["secret"]) == ("hunter2", None)
    stored = await mongo.collection(REPLIES).find_one({})
    assert stored is not None
    assert b"hunter2" not in stored["body"]


async def test_a_replay_costs_one_read(mongo: Mongo) -> None:
    class Counted(Replies):
        reads = writes = 0

        def __init__(self, mongo: Mongo) -> None:
            super().__init__(mongo)
            find, insert, update = self._replies.find_one, self._replies.insert_one, self._replies.update_one
            self._replies = Counting(find, insert, update, self)  # type: ignore[assignment]  # all that is used of it

    class Counting:
        def __init__(self, find: Any, insert: Any, update: Any, counted: Counted) -> None:
            self._find, self._insert, self._update, self._counted = find, insert, update, counted

        async def find_one(self, *args: Any, **options: Any) -> Any:
            self._counted.reads += 1
            return await self._find(*args, **options)

        async def insert_one(self, *args: Any, **options: Any) -> Any:
            self._counted.writes += 1
            return await self._insert(*args, **options)

        async def update_one(self, *args: Any, **options: Any) -> Any:
            self._counted.writes += 1
            return await self._update(*args, **options)

    replies = Counted(mongo)
    async with notes_service(mongo, replies=replies) as service:
        await write(service)
        replies.reads = replies.writes = 0
        assert (await write(service)).headers["idempotency-replayed"] == "true"
    assert (replies.reads, replies.writes) == (1, 0)
