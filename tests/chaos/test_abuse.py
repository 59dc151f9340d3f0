"""Ten thousand idle connections, hundreds of clients that send or read nothing: others are served as before.

What is compared is the median over rounds of each round's 99th percentile, under abuse with before and after it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import stripe

from promptforge.core.identity import mint
from promptforge.deploy.server import OTHER_FILES
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.raw import ALIVE, Talk, get, post, surprises
from tests.support.running import eventually
from tests.support.service import Service, serving

IDLE = 10_000
SLOW = 200
ROUNDS = 7
SOURCES = [f"127.0.0.{number}" for number in range(1, 5)]
KEEP_ALIVE_SECONDS = 75
SEND_SECONDS = 20
SWEEP_SECONDS = 15
"""How much later than its deadline a connection may go: the sweep's second, and a machine with other work."""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path) as service:
        yield service
        assert surprises(service.log) == []


def files(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid}/fd").iterdir())


def rss_bytes(service: Service) -> int:
    pages = int(Path(f"/proc/{service.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def asked(service: Service) -> list[float]:
    """The 99th percentile of each round, in milliseconds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.asking", str(service.port), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[float] = json.loads(done.stdout)
    return found


class Comparison:
    """`free` and `abused`, each a list of 99th percentiles."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.free = asked(service)
        self.abused: list[float] = []

    def under_abuse(self) -> None:
        self.abused = asked(self._service)

    def judge(self, what: str) -> None:
        self.free += asked(self._service)
        free, abused = statistics.median(self.free), statistics.median(self.abused)
        print(f"{what}: p99 {free:.2f} ms free, {abused:.2f} ms abused, {abused / free:.2f} x")  # noqa: T201
        assert abused < 2 * free, (self.free, self.abused)


@contextmanager
def open_files(wanted: int) -> Iterator[None]:
    """Allow this process so many files, or skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} open files, and the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def dripping(talks: list[Talk]) -> Iterator[None]:
    """A byte per second on each."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(1):
            for talk in talks:
                talk.say(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def closed(talks: list[Talk]) -> int:
    """How many the server has closed: there is something to read, and it is the end."""
    poll = select.poll()
    for talk in talks:
        poll.register(talk.socket, select.POLLIN)
    readable = {number for number, _ in poll.poll(0)}
    return sum(1 for talk in talks if talk.socket.fileno() in readable and _ended(talk))


def _ended(talk: Talk) -> bool:
    try:
        return talk.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def test_ten_thousand_idle_connections_cost_others_nothing(service: Service) -> None:
    with open_files(IDLE + OTHER_FILES), ExitStack() as stack:
        comparison = Comparison(service)
        before, others = rss_bytes(service), files(service)
        talks = []
        for number in range(IDLE):
            talks.append(stack.enter_context(Talk(service.port, source=SOURCES[number % len(SOURCES)])))
            talks[-1].say(ALIVE)
            assert talks[-1].hear().status == 200
        opened = time.monotonic()
        assert files(service) >= others + IDLE
        print(f"a connection at rest: {(rss_bytes(service) - before) / IDLE / 1024:.1f} KiB")  # noqa: T201
        comparison.under_abuse()
        assert closed(talks) == 0 or time.monotonic() - opened > KEEP_ALIVE_SECONDS / 2
        eventually(lambda: files(service) < others + 50, seconds=KEEP_ALIVE_SECONDS + SWEEP_SECONDS)
        eventually(lambda: closed(talks) == IDLE)
    comparison.judge(f"{IDLE} idle connections")


def test_slow_heads_are_cut_off_and_cost_others_nothing(service: Service) -> None:
    with ExitStack() as stack:
        comparison = Comparison(service)
        talks = [stack.enter_context(Talk(service.port)) for _ in range(SLOW)]
        for talk in talks:
            talk.say(b"GET /health/live HTTP/1.1\r\nx: ")
        with dripping(talks):
            comparison.under_abuse()
            waited = [talk.seconds_until_closed(patience=40) for talk in talks]
    assert sum(waited) < 40
    comparison.judge(f"{SLOW} slow heads")


def test_slow_bodies_are_given_up_and_cost_others_nothing(service: Service) -> None:
    token = f"authorization: Bearer {mint('slow', project_id=DEMO_PROJECT)}"
    with ExitStack() as stack:
        comparison = Comparison(service)
        talks = [stack.enter_context(Talk(service.port)) for _ in range(SLOW)]
        for talk in talks:
            talk.socket.settimeout(60)
            talk.say(post(token, "content-length: 1000", body=b"{"))
        with dripping(talks):
            comparison.under_abuse()
            answers = [talk.rest() for talk in talks]
    assert [[(answer.status, answer.json["code"]) for answer in one] for one in answers] == [
        [(408, "body_too_slow")]
    ] * SLOW
    comparison.judge(f"{SLOW} slow bodies")


FORGED = f"POST /webhooks/stripe HTTP/1.1\r\nhost: service\r\nstripe-signature: t={{now}},v1={'0' * 64}\r\n"
"""To the one path that reads what strangers send."""
WEBHOOK_SECRET = "whsec_of_the_abused"
EVENT_BYTES = 500 * 1024


def forged(*headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([FORGED.format(now=int(time.time())) + headers[0], *headers[1:], "", ""]).encode() + body


def genuine() -> bytes:
    body = json.dumps({"id": "evt_1", "object": "event", "type": "x", "livemode": False, "created": 1, "data": {}})
    signature = stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET, int(time.time()))
    head = f"POST /webhooks/stripe HTTP/1.1\r\nhost: service\r\nstripe-signature: {signature}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def cpu_seconds(service: Service) -> float:
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_events_of_strangers_are_held_within_bounds_and_keep_no_genuine_one_out(tmp_path: Path) -> None:
    with serving(tmp_path, STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET) as service, ExitStack() as stack:
        comparison = Comparison(service)
        before = rss_bytes(service)
        talks = [stack.enter_context(Talk(service.port)) for _ in range(SLOW)]
        for talk in talks:
            talk.say(forged(f"content-length: {EVENT_BYTES + 1}", body=b"x" * EVENT_BYTES))
        comparison.under_abuse()
        grown = (rss_bytes(service) - before) / 1024 / 1024
        print(f"{SLOW} events of {EVENT_BYTES // 1024} KiB that never end: {grown:.0f} MiB")  # noqa: T201
        assert grown < 48
        with Talk(service.port) as stripes:
            stripes.say(genuine())
            assert stripes.hear().status == 200
        comparison.judge(f"{SLOW} events that never end")
    assert surprises(service.log) == []


def test_a_body_of_a_hundred_thousand_chunks_is_not_read(tmp_path: Path) -> None:
    with serving(tmp_path, STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET) as service:
        token = f"authorization: Bearer {mint('chunks', project_id=DEMO_PROJECT)}"
        for head in (forged("transfer-encoding: chunked"), post(token, "transfer-encoding: chunked")):
            before = cpu_seconds(service)
            for _ in range(10):
                with Talk(service.port) as talk:
                    talk.say(head + b"1\r\nx\r\n" * 100_000)
                    assert [answer.status for answer in talk.rest()] == [400]
            spent = (cpu_seconds(service) - before) / 10
            print(f"a hundred thousand chunks: {spent * 1000:.0f} ms")  # noqa: T201
            assert spent < 0.15
    assert surprises(service.log) == []


def not_reading(service: Service, stack: ExitStack, count: int) -> list[Talk]:
    """Clients that ask for a hundred large pages each, and take nothing."""
    talks = [stack.enter_context(Talk(service.port, receive_buffer=4096)) for _ in range(count)]
    for talk in talks:
        talk.say(get("/api/v1/openapi.json") * 100)
    return talks


def test_clients_that_do_not_read_are_let_go_and_cost_others_nothing(service: Service) -> None:
    with ExitStack() as stack:
        comparison = Comparison(service)
        before, others = rss_bytes(service), files(service)
        not_reading(service, stack, SLOW)
        eventually(lambda: files(service) >= others + SLOW)
        comparison.under_abuse()
        grown = (rss_bytes(service) - before) / SLOW / 1024
        print(f"a client that does not read: {grown:.0f} KiB")  # noqa: T201
        assert grown < 512
        page = len(service.visitor.get("/api/v1/openapi.json").content)
        patience = SEND_SECONDS + page / 16384 + SWEEP_SECONDS
        eventually(lambda: files(service) < others + 10, seconds=patience)
    comparison.judge(f"{SLOW} clients that do not read")


def test_clients_that_do_not_read_do_not_keep_the_service_from_stopping(tmp_path: Path) -> None:
    with serving(tmp_path, GRACE_SECONDS="3") as service, ExitStack() as stack:
        not_reading(service, stack, 20)
        time.sleep(2)  # until it can send no more
        assert service.terminate() == 0
    assert surprises(service.log) == []
