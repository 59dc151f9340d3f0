"""`make bench-jobs`: this project's jobs beside other libraries', in interleaved rounds on the same machine.

Every library runs as it would on its own: one process, uvloop, tuned as its documentation says (see its file under
`peers`). Redis runs once without persistence, which is how it is mostly used, and once durable, as MongoDB and
PostgreSQL are.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.jobs.servers import postgres_server, redis_server
from tests.bench.table import Row, print_rows

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PEERS = ROOT / ".cache" / "bench-peers" / "bin" / "python"
PEERS_ARQ = ROOT / ".cache" / "bench-peers-arq" / "bin" / "python"
TIMEOUT_SECONDS = 300
OURS = "promptforge"

Result = dict[str, Any]  # one JSON line


def _commands(number: int) -> Iterator[tuple[str, list[str], str]]:
    """(label, command, kind of server)."""
    jobs = ["--jobs", str(number)]
    yield OURS, [sys.executable, "-m", "tests.bench.jobs.ours", str(number)], ""
    for kind in ("redis", "redis durable"):
        suffix = " (durable)" if kind == "redis durable" else ""
        yield f"taskiq{suffix}", [str(PEERS), str(HERE / "peers" / "taskiq_peer.py"), *jobs], kind
        yield f"saq{suffix}", [str(PEERS), str(HERE / "peers" / "saq_peer.py"), *jobs], kind
        yield f"arq{suffix}", [str(PEERS_ARQ), str(HERE / "peers" / "arq_peer.py"), *jobs], kind
    yield "pgqueuer", [str(PEERS), str(HERE / "peers" / "pgqueuer_peer.py"), *jobs], "postgres"


def _run(command: list[str], url: str | None) -> Result:
    if url is not None:
        command = [*command[:2], url, *command[2:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        sys.stderr.write(f"{command[1]} failed:\n{done.stderr[-2000:]}\n")
        return {}
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measure(number: int, rounds: int) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = defaultdict(list)
    with ExitStack() as servers:
        urls = {
            "redis": servers.enter_context(redis_server()),
            "redis durable": servers.enter_context(redis_server(durable=True)),
            "postgres": servers.enter_context(postgres_server()),
        }
        for turn in range(rounds):
            for label, command, kind in _commands(number):
                sys.stderr.write(f"round {turn + 1} of {rounds}: {label}\n")
                result = _run(command, urls.get(kind))
                if result:
                    results[label].append(result)
    return results


def _rows(results: dict[str, list[Result]], field: str, unit: str, budget: str) -> list[Row]:
    rows = []
    for label, found in results.items():
        values = [float(result[field]) for result in found if result.get(field) is not None]
        if values:
            ours = label == OURS
            rows.append(Row(label, values, unit, None if ours else OURS, budget if ours else ""))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backlog", action="store_true", help="only: claims and memory from 10³ to 10⁶ waiting jobs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    if not arguments.backlog:
        results = measure(arguments.jobs, arguments.rounds)
        print_rows("Drain", _rows(results, "drain_per_s", "/s", "10,000/s; 3 × the fastest on Redis; pgqueuer"))
        print_rows("Bulk enqueue", _rows(results, "bulk_per_s", "/s", "30,000/s"))
        print_rows("Enqueue", _rows(results, "enqueue_one_per_s", "/s", ""))
        print_rows("Idle: enqueue to handler, p50", _rows(results, "idle_p50_ms", "ms", "3.5 ms"))
        print_rows("Idle: enqueue to handler, p99", _rows(results, "idle_p99_ms", "ms", ""))
        print_rows("From another process, p50", _rows(results, "across_p50_ms", "ms", "10 ms"))
    command = [sys.executable, "-m", "tests.bench.jobs.backlog"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * TIMEOUT_SECONDS, check=True)
    backlog = json.loads(done.stdout.strip().splitlines()[-1])
    first = f"{backlog[0][0]} waiting"
    claims = [
        Row(f"{size} waiting", [claim], "ms", None if f"{size} waiting" == first else first)
        for size, claim, _ in backlog
    ]
    print_rows("A claim of 100 jobs, by backlog (budget 1.2 ×)", claims)
    print_rows("Memory of the process", [Row(f"{size} waiting", [memory], "MB") for size, _, memory in backlog])


if __name__ == "__main__":
    main()
