"""One reader's stream in virtual time: what is sent when, and how it ends."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message

from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.notifications.stream.messages import Followed
from promptforge.core.errors import DatabaseUnavailable, Unauthenticated
from promptforge.core.identity.tokens import RevokedToken
from promptforge.core.principal import Principal
from promptforge.http.bells import Bells
from promptforge.http.following import LOOK_SECONDS, PING_SECONDS, SEND_SECONDS, _Out, _Stream
from tests.support.virtual_time import virtual

CARLA = Principal("usr_carla", "carla")
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass
class Log:
    """What was told, and what reading it costs."""

    told: list[int] = field(default_factory=list)
    page: int = 100
    reads: int = 0
    away: bool = False
    before_answer: Callable[[], None] = lambda: None

    async def after(self, who: Principal, number: int) -> Followed:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailable
        rest = [one for one in self.told if one > number]
        self.before_answer()
        await anyio.lowlevel.checkpoint()
        page = rest[: self.page]
        items = tuple((one, NotificationView(f"ntf_{one}", "k", "t\r\n", "b", {}, None, NOW)) for one in page)
        return Followed(items, page[-1] if page else number, more=len(page) == self.page)


@dataclass
class Wire:
    """What was sent, and when; `stuck` while nobody reads."""

    sent: list[tuple[float, bytes]] = field(default_factory=list)
    stuck: bool = False

    async def send(self, message: Message) -> None:
        while self.stuck:
            await anyio.sleep(0.5)
        self.sent.append((anyio.current_time(), message["body"]))

    @property
    def names(self) -> list[str]:
        blocks = [body.decode() for _, body in self.sent]
        return [block.partition("event: ")[2].partition("\n")[0] or "comment" for block in blocks]

    @property
    def ids(self) -> list[str]:
        return [
            body.decode().partition("id: ")[2].partition("\n")[0] for _, body in self.sent if b"notification" in body
        ]


@dataclass
class Reader:
    """A stream under test."""

    log: Log = field(default_factory=Log)
    wire: Wire = field(default_factory=Wire)
    bells: Bells = field(default_factory=Bells)
    rights: Exception | None = None
    draining: bool = False
    ends_at: float = float("inf")
    looks: int = 0

    async def run(self, position: int = 0) -> None:
        async def again() -> Principal:
            self.looks += 1
            if self.rights is not None:
                raise self.rights
            return CARLA

        stream = _Stream(
            CARLA, position, ask=self.log.after, again=again, draining=lambda: self.draining, ends_at=self.ends_at
        )
        with self.bells.heard(CARLA.user_id) as bell:
            await stream.run(_Out(self.wire.send), bell, retry_milliseconds=1000)

    def tell(self, *numbers: int) -> None:
        self.log.told.extend(numbers)
        self.bells.ring(CARLA.user_id)


@virtual
async def test_what_was_told_is_sent_page_by_page_and_then_as_it_happens() -> None:
    reader = Reader(Log(list(range(1, 8)), page=3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run, 2)
        await anyio.sleep(1)
        assert reader.wire.ids == ["3", "4", "5", "6", "7"]
        reader.tell(8, 9)
        await anyio.sleep(0.001)
        assert reader.wire.ids[-2:] == ["8", "9"]
        assert b"\r" not in b"".join(body for _, body in reader.wire.sent), "a line break would end the data"
        tasks.cancel_scope.cancel()


@virtual
async def test_what_is_told_while_the_log_is_read_is_not_missed() -> None:
    """The bell rings after the log was read and before anybody waits for it."""
    reader = Reader(Log([1]))

    def meanwhile() -> None:
        reader.log.before_answer = lambda: None
        reader.tell(2)

    reader.log.before_answer = meanwhile
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run)
        await anyio.sleep(0.001)
        assert reader.wire.ids == ["1", "2"]
        tasks.cancel_scope.cancel()


@virtual
async def test_an_idle_stream_reads_once_a_minute_and_sends_comments() -> None:
    reader = Reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run)
        await anyio.sleep(3600 + 1)
        assert reader.log.reads <= 3600 / LOOK_SECONDS + 1
        assert reader.looks <= 3600 / LOOK_SECONDS
        comments = reader.wire.names.count("comment")
        assert 3600 / PING_SECONDS * 0.6 <= comments <= 3600 / PING_SECONDS
        gaps = [after - before for (before, _), (after, _) in zip(reader.wire.sent, reader.wire.sent[1:], strict=False)]
        assert max(gaps) <= 2 * PING_SECONDS
        tasks.cancel_scope.cancel()


@virtual
async def test_rights_that_are_gone_end_a_stream_within_a_minute_however_busy_it_is() -> None:
    for error, code in ((RevokedToken(), "token_revoked"), (Unauthenticated(), "unauthenticated")):
        reader = Reader(rights=error)
        async with anyio.create_task_group() as tasks:

            async def busy(reader: Reader = reader, tasks: anyio.abc.TaskGroup = tasks) -> None:
                number = 0
                while True:
                    number += 1
                    reader.tell(number)
                    await anyio.sleep(0.5)

            tasks.start_soon(busy)
            with anyio.fail_after(LOOK_SECONDS + 1):
                await reader.run()
            tasks.cancel_scope.cancel()
        assert reader.wire.names[-1] == "end"
        assert f'"{code}"'.encode() in reader.wire.sent[-1][1]
        assert b"id:" not in reader.wire.sent[-1][1]


@virtual
async def test_a_database_that_is_away_is_waited_for() -> None:
    reader = Reader(Log([1], away=True))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run)
        await anyio.sleep(30)
        assert reader.wire.names == ["ready"]
        reader.log.away = False
        await anyio.sleep(1.5)
        assert reader.wire.ids == ["1"]
        tasks.cancel_scope.cancel()


@virtual
async def test_a_process_that_drains_ends_its_streams_at_once() -> None:
    reader = Reader()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run)
        await anyio.sleep(5)
        reader.draining = True
        reader.bells.ring_all()
        await anyio.sleep(0.001)
        assert reader.wire.names == ["ready", "end"]
        assert reader.bells._of == {}


@virtual
async def test_a_stream_of_a_ticket_lasts_as_long_as_said() -> None:
    reader = Reader(ends_at=100.0)
    await reader.run()
    assert reader.wire.names[-1] == "end"
    assert b"ticket_stream_over" in reader.wire.sent[-1][1]
    assert anyio.current_time() == pytest.approx(100.0)


@virtual
async def test_who_reads_nothing_is_let_go_and_holds_one_page_until_then() -> None:
    reader = Reader(Log(list(range(1, 100_000))))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.run)
        await anyio.lowlevel.checkpoint()
        reader.wire.stuck = True
        await anyio.sleep(SEND_SECONDS * 3)
        assert reader.bells._of == {}, "it is over"
        assert reader.log.reads <= 2
        tasks.cancel_scope.cancel()


@virtual
async def test_who_reads_late_but_reads_is_told_why_it_ended() -> None:
    reader = Reader(Log([1]))
    reader.wire.stuck = True

    async def read_after_all() -> None:
        await anyio.sleep(SEND_SECONDS + 0.1)
        reader.wire.stuck = False

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_after_all)
        await reader.run()
    assert reader.wire.names == ["end"]
    assert b"too_slow" in reader.wire.sent[-1][1]


def test_bells_ring_for_one_person_only() -> None:
    bells = Bells()
    with bells.heard("a") as mine, bells.heard("b") as theirs:
        bells.ring("a")
        assert (mine._event.is_set(), theirs._event.is_set()) == (True, False)
        bells.ring("nobody")
    assert bells._of == {}


class Unread(Wire):
    """Takes everything, and keeps nothing of it."""

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()


@virtual
async def test_streams_take_the_same_memory_however_long_they_are_open_and_whatever_they_are_told() -> None:
    readers, held = [Reader(Log(), Unread()) for _ in range(20)], []

    async def pass_time(seconds: float, *, told: range) -> None:
        for number in told:
            for reader in readers:
                reader.log.told.clear()
                reader.tell(number)
            await anyio.sleep(0.125)
        await anyio.sleep(seconds)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(reader.run)
            await pass_time(600, told=range(1, 6))
            await pass_time(3000, told=range(6, 56))
            tasks.cancel_scope.cancel()
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < len(readers) * 1000, "fifty events and most of an hour more"
