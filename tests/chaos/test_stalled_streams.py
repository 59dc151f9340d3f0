"""Readers of notifications that never read, over real sockets: let go in the end, in bounded memory, alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from promptforge.core.identity import mint
from promptforge.deploy.settings import DEMO_PROJECT
from tests.chaos.test_abuse import SWEEP_SECONDS, files, rss_bytes
from tests.support.events import events
from tests.support.raw import Talk, surprises
from tests.support.running import Person, eventually
from tests.support.service import DATABASE, Service, serving

STALLED, OF_ONE = 40, 10
TOLD, BODY_BYTES = 5_000, 2_000
STUCK_SECONDS = 10
"""After which one that takes nothing is let go (docs/notifications.md)."""
PATH = "/notifications/stream"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path) as service:
        yield service
        assert surprises(service.log) == []


def plant(service: Service, person: Person) -> None:
    """Ten megabytes of news: more than sockets take by themselves."""
    user, now = person.get("/users/me")["id"], datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "_id": f"ntf_{user[-20:]}{number:06}",
            "seq": number,
            "user_id": user,
            "kind": "listing.sold",
            "title": f"Number {number}",
            "body": "x" * BODY_BYTES,
            "subject": {},
            "dedupe_key": f"{user}:{number}",
            "read_at": None,
            "created_at": now,
            "expire_at": now + timedelta(days=1),
        }
        for number in range(1, TOLD + 1)
    ]
    with service.database() as client:
        client[DATABASE]["notifications"].insert_many(rows, ordered=False)
        counter = {"$set": {"seq": TOLD}}
        client[DATABASE]["notification_counters"].update_one({"_id": user}, counter, upsert=True)


def stall(service: Service, uid: str, stack: ExitStack) -> Talk:
    """A stream from the beginning, of which nothing is ever read."""
    talk = stack.enter_context(Talk(service.port, receive_buffer=4096))
    token = mint(uid, project_id=DEMO_PROJECT, roles=())
    asked = f"GET /api/v1{PATH} HTTP/1.1\r\nhost: x\r\nlast-event-id: 0\r\nauthorization: Bearer {token}\r\n\r\n"
    talk.say(asked.encode())
    return talk


def test_readers_that_take_nothing_are_let_go_in_bounded_memory_and_others_hear_on(service: Service) -> None:
    uids = [f"stalled-{number}" for number in range(STALLED // OF_ONE)]
    for uid in uids:
        plant(service, service.person(uid))
    lively = service.person("lively")
    plant(service, lively)
    token = lively.client.headers["authorization"]
    with events(service.base_url, PATH, token=token, headers={"last-event-id": "0"}) as reader:
        reader.take(100)  # what is loaded for the first stream is loaded
    before, others = rss_bytes(service), files(service)
    with ExitStack() as stack:
        talks = [stall(service, uid, stack) for uid in uids for _ in range(OF_ONE)]
        eventually(lambda: files(service) >= others + STALLED)
        with events(service.base_url, PATH, token=token, headers={"last-event-id": "0"}) as reader:
            heard = [event.id for event in reader.take(TOLD + 1)]
        assert heard == [str(number) for number in range(TOLD + 1)], "ten megabytes, while the others take nothing"
        grown = (rss_bytes(service) - before) / STALLED / 1024
        print(f"a stream that is not read: {grown:.0f} KiB")  # noqa: T201
        assert grown < 1024, "a page each, and none of ten megabytes"
        eventually(lambda: files(service) < others + 10, seconds=2 * STUCK_SECONDS + SWEEP_SECONDS)
        seen = talks[0].socket.recv(65536)
    assert seen.startswith(b"HTTP/1.1 200"), "it was a stream"
    again = events(service.base_url, PATH, token=token, headers={"last-event-id": str(TOLD)})
    with again as reader:
        assert reader.next().name == "ready"
