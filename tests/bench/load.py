"""Load on a server that is another process: its rate over keep-alive connections, and its own CPU per request."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.support.running import free_port

ROUNDS = 7
CONNECTIONS = 8
SECONDS = 1.5
_CLOCK_TICK = os.sysconf("SC_CLK_TCK")

Contender = tuple[int, int, str, dict[str, str]]
"""Process id, port, path and headers."""
Rounds = dict[str, list[float]]


def compare(contenders: Mapping[str, Contender]) -> tuple[Rounds, Rounds]:
    """Requests per second, and CPU microseconds per request, of each; in rounds that alternate."""
    rates: Rounds = {name: [] for name in contenders}
    costs: Rounds = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, contender in contenders.items():
            rate, cost = _round(*contender)
            if number:  # the first round warms up
                rates[name].append(rate)
                costs[name].append(cost)
    return rates, costs


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICK


@contextmanager
def beside(script: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """A baseline's server as a process of its own; answers its port, which `script` is told first, and its pid."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script, str(port), *arguments])
    try:
        for _ in range(400):
            try:
                HTTPConnection("127.0.0.1", port).connect()
                break
            except OSError:
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _client(port: int, path: str, headers: dict[str, str], until: float) -> int:
    connection = HTTPConnection("127.0.0.1", port)
    answered = 0
    while time.monotonic() < until:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}")
        answered += 1
    connection.close()
    return answered


def _round(pid: int, port: int, path: str, headers: dict[str, str]) -> tuple[float, float]:
    """Requests per second, and CPU microseconds of the server per request."""
    before, started = _cpu_seconds(pid), time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        clients = [pool.submit(_client, port, path, headers, started + SECONDS) for _ in range(CONNECTIONS)]
        answered = sum(client.result() for client in clients)
    took = time.monotonic() - started
    return answered / took, (_cpu_seconds(pid) - before) / answered * 1e6
