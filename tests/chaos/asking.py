"""Ordinary requests from a process of their own, one after the other on one connection: how long they take.

`python -m tests.chaos.asking PORT ROUNDS` prints the 99th percentile of each round in milliseconds, as a JSON list.
"""

from __future__ import annotations

import http.client
import json
import sys
import time

from promptforge.core.identity import mint
from promptforge.deploy.settings import DEMO_PROJECT

PATHS = ("/api/v1/users/me", "/api/v1/prompts?limit=5", "/health/live")
REQUESTS = 300
PAUSE_SECONDS = 0.002
"""Between requests: what is measured is how long one takes, not how many there can be."""


def main() -> None:
    port, rounds = int(sys.argv[1]), int(sys.argv[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {mint('asking', project_id=DEMO_PROJECT)}"}
    _round(connection, headers)  # what is made on first use is not counted
    print(json.dumps([_round(connection, headers) for _ in range(rounds)]))  # noqa: T201 - its output is its result


def _round(connection: http.client.HTTPConnection, headers: dict[str, str]) -> float:
    times = []
    for number in range(REQUESTS):
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        connection.request("GET", PATHS[number % len(PATHS)], headers=headers)
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - began) * 1000)
        assert response.status == 200, response.status
    return round(sorted(times)[int(len(times) * 0.99)], 3)


if __name__ == "__main__":
    main()
