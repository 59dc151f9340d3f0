"""Clients that ask without a pause, each over its own connection: how long each answer takes, and what CPU it costs.

With so many clients the time that an answer takes is about their number times what the work costs: on a noisy machine
CPU is the better number of the two. Clients are threads of this process and read no more than the length of an answer.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

CLIENTS = 20
SECONDS = 4.0
MOST_OF_ONE = 900
"""Requests of one connection: the service closes it after a thousand."""
Ask = Callable[[int], None]
_CLOCK_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds: of the answers, in order; and of CPU for each answer, of each process."""

    took: Sequence[float]
    cpu: Sequence[float]

    def quantile(self, part: float, *, slowest: int | None = None) -> float:
        """Of all, or of the slowest so many."""
        took = self.took if slowest is None else self.took[-slowest:]
        return took[min(int(len(took) * part), len(took) - 1)]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICK


def measured(connected: Callable[[], Ask], pids: Sequence[int], rng: Random, *, seconds: float = SECONDS) -> Round:
    """`connected` makes a client; a client is told how many questions it has asked, beginning somewhere, by chance:
    what was asked lately may be remembered.
    """
    places = [rng.randrange(1_000_000) for _ in range(CLIENTS)]
    before, until = [cpu_seconds(pid) for pid in pids], time.perf_counter() + seconds

    def client(number: int) -> list[float]:
        ask, took, at = connected(), [], places[number]
        while (begun := time.perf_counter()) < until:
            ask(at)
            took.append((time.perf_counter() - begun) * 1000)
            at += 1
        return took

    with ThreadPoolExecutor(CLIENTS) as pool:
        took = sorted(one for took in pool.map(client, range(CLIENTS)) for one in took)
    spent = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
    return Round(took, [one / len(took) * 1000 for one in spent])


def over_http(ports: Sequence[int], paths: Sequence[str], *, token: str = "", once: bool = False) -> Callable[[], Ask]:
    """Makes a client who asks for one path after the other, of one process; processes have as many clients each.

    `once`: all clients together ask for none twice, as long as there are more.
    """
    fresh, taken = count(), count()
    signed = f"authorization: {token}\r\n" if token else ""
    asked = [f"GET /api/v1{path} HTTP/1.1\r\nhost: bench\r\n{signed}\r\n".encode() for path in paths]

    def connected() -> Ask:
        port = ports[next(taken) % len(ports)]
        connection, used = _connect(port), 0

        def ask(number: int) -> None:
            nonlocal connection, used
            if used == MOST_OF_ONE:
                connection.close()
                connection, used = _connect(port), 0
            used += 1
            at = (next(fresh) if once else number) % len(asked)
            connection.sendall(asked[at])
            status = _read(connection)
            if status != b"200":
                raise RuntimeError(f"{paths[at]}: {status.decode()}")

        return ask

    return connected


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read(connection: socket.socket) -> bytes:
    """The status of an answer that has a length."""
    got = bytearray()
    while (end := got.find(b"\r\n\r\n")) < 0:
        if not (more := connection.recv(65_536)):
            raise ConnectionError
        got += more
    head = bytes(got[:end]).lower()
    missing = int(head.partition(b"content-length: ")[2].partition(b"\r")[0]) - (len(got) - end - 4)
    while missing > 0:
        if not (more := connection.recv(65_536)):
            raise ConnectionError
        missing -= len(more)
    return head.split(b" ", 2)[1]
