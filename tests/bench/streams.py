"""Event streams of notifications: what idle ones cost, and how soon news from any of three processes is heard.

Three processes as they are run, on one database. 2,000 streams of 200 people are opened at the first of them and left
alone for 70 s, in which each looks at its reader's rights once; the process's memory is read before, after opening and
after that, and its CPU time. Then one person listens at all three, and is told 60 things, by the three in turn. The
time is from just before the request that has somebody told (its transaction, its job and that job's transaction
included), and from the moment that the notification has itself. At last it is told 60 things more by a fourth process,
this one, and the time is from the beginning of the commit.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.store import NotificationStore
from promptforge.core.identity import mint
from promptforge.core.mongo import EmbeddedMongod, Mongo, Session, run_transaction
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from tests.bench.table import Row, print_rows
from tests.support.running import RunningService
from tests.support.service import DATABASE

STREAMS, OF_ONE, IDLE_SECONDS, TOLD = 2000, 10, 70, 60
AT_ONCE = 20
_TICKS = os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    """Resident, as the kernel counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _three(directory: Path) -> Iterator[list[RunningService]]:
    services = [RunningService(directory) for _ in range(3)]
    for service in services:
        service.start()
    try:
        yield services
    finally:
        for service in services[1:]:
            service.terminate()
        services[0].stop()


@asynccontextmanager
async def _stream(service: RunningService, uid: str) -> AsyncIterator[asyncio.StreamReader]:
    """Open, past its head and the event that it begins with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=65_536)
    token = mint(uid, project_id=DEMO_PROJECT, roles=())
    request = f"GET /api/v1/notifications/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readuntil(b"event: ready\ndata: {}\n\n")
    try:
        yield reader
    finally:
        writer.close()


async def _idle(service: RunningService) -> list[Row]:
    pid, opened = service.pid, []
    room = asyncio.Semaphore(AT_ONCE)
    before = _memory_mb(pid)

    async def open_one(number: int) -> None:
        async with room:
            stream = _stream(service, f"reader-{number // OF_ONE}")
            await stream.__aenter__()
            opened.append(stream)

    for person in range(0, STREAMS, OF_ONE):  # the first request of each makes the account
        await open_one(person)
    await asyncio.gather(*(open_one(number) for number in range(STREAMS) if number % OF_ONE))
    after = _memory_mb(pid)
    cpu = _cpu_seconds(pid)
    await asyncio.sleep(IDLE_SECONDS)
    later, cpu = _memory_mb(pid), _cpu_seconds(pid) - cpu
    await asyncio.gather(*(stream.__aexit__(None, None, None) for stream in opened))
    return [
        Row("memory before", [before], "MB"),
        Row(f"memory with {STREAMS} streams", [after], "MB"),
        Row(f"the same {IDLE_SECONDS} s later", [later], "MB", budget="no more than when they were opened"),
        Row("of one stream", [(after - before) * 1024 / STREAMS], "KB"),
        Row("CPU while idle", [cpu / IDLE_SECONDS * 100], "% of a core"),
    ]


async def _heard(reader: asyncio.StreamReader, number: int, times: list[tuple[float, datetime]]) -> None:
    for _ in range(number):
        text = (await reader.readuntil(b"event: notification\ndata: ")) and await reader.readuntil(b"\n\n")
        times.append((time.time(), datetime.fromisoformat(json.loads(text)["created_at"])))


async def _live(services: Sequence[RunningService]) -> list[Row]:
    rows = []
    async with (
        _stream(services[0], "live") as one,
        _stream(services[1], "live") as two,
        _stream(services[2], "live") as three,
    ):
        readers = (one, two, three)
        people = [service.person("live") for service in services]
        admins = [service.person("admin", Role.ADMIN) for service in services]
        user = people[0].get("/users/me")["id"]

        async def grant(number: int) -> float:
            asked = time.time()
            given = {"amount": "0.001", "reason": f"number {number}"}
            await asyncio.to_thread(admins[number % 3].post, f"/users/{user}/grants", given, expect=201)
            return asked

        asked, heard = await _told(readers, grant)
        spans = [at - asked[n] for times in heard for n, (at, _) in enumerate(times)]
        rows += _rows("from the request to the event", spans)
        rows += _rows(
            "from the notification to the event", [at - of.timestamp() for times in heard for at, of in times]
        )
        async with _notifying(services[0], user) as notify:
            begun, heard = await _told(readers, notify)
        spans = [at - begun[n] for times in heard for n, (at, _) in enumerate(times)]
        rows += _rows("from a fourth process's commit to the event", spans)
        last = [max(times[n][0] for times in heard) - begun[n] for n in range(TOLD)]
        rows += _rows("the same to the last of the three", last)
    return rows


async def _told(
    readers: Sequence[asyncio.StreamReader], tell: Callable[[int], Awaitable[float]]
) -> tuple[list[float], list[list[tuple[float, datetime]]]]:
    """When each thing was told, and when each reader has heard of it."""
    heard: list[list[tuple[float, datetime]]] = [[] for _ in readers]
    listeners = [asyncio.create_task(_heard(*one)) for one in zip(readers, (TOLD,) * len(readers), heard, strict=True)]
    told = []
    for number in range(TOLD):
        told.append(await tell(number))
        await asyncio.sleep(0.1)
    await asyncio.wait_for(asyncio.gather(*listeners), 60)
    return told, heard


@asynccontextmanager
async def _notifying(service: RunningService, user_id: str) -> AsyncIterator[Callable[[int], Awaitable[float]]]:
    """Tells somebody something from this process; answers when the commit of it began."""
    server = EmbeddedMongod.start(service.data_dir / "mongo")
    mongo = await Mongo.connect(server.url, DATABASE)
    store = NotificationStore(mongo)

    async def notify(number: int) -> float:
        message = NotifyUser(
            user_id=user_id,
            kind="credits.granted",
            title="Credits",
            body=f"number {number}",
            subject={},
            dedupe_key=f"bench:{number}",
        )

        async def work(session: Session) -> float:
            await store.insert_once(message, shown=True, now=datetime.now(UTC), session=session)
            return time.time()

        return await run_transaction(mongo, work)

    try:
        yield notify
    finally:
        mongo.close()
        server.stop()


def _rows(name: str, spans: Sequence[float]) -> list[Row]:
    cut = quantiles(spans, n=100)
    return [
        Row(f"{name}, p{part}", [cut[part - 1] * 1000], "ms", budget="" if part == 50 else "≤ 1,000 ms")
        for part in (50, 95, 99)
    ]


def run(part: str = "") -> None:
    """Measure once: it takes two minutes. `streams=live` leaves the idle ones out."""
    with tempfile.TemporaryDirectory() as directory, _three(Path(directory)) as services:
        if part != "live":
            rows = asyncio.run(_idle(services[0]))
            print_rows(f"Event streams: {STREAMS} idle ones in one process", rows)
        print_rows(f"Event streams: {TOLD} things told by three processes, heard at each", asyncio.run(_live(services)))
