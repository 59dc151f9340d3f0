"""Stripe's events under load: how long an acknowledgement takes, and that each effect happens once.

2,000 signed events of 1,400 paid checkouts (so 30 % are duplicates), shuffled, over 32 connections, to the service as
it is run, and to a bare route beside it that reads the same bodies and verifies nothing. Then the backlog is waited for
and every effect is counted: a wrong count ends the benchmark.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from typing import Any

import stripe
from pymongo import MongoClient

from promptforge.core.mongo import EmbeddedMongod
from tests.bench.table import Row, print_rows
from tests.support.running import WEBHOOK_SECRET, RunningService, free_port

EVENTS, CHECKOUTS, CONNECTIONS, BUYERS = 2000, 1400, 32, 50
BUDGET_MS = 50
PATH = "/api/v1/webhooks/stripe"
_BARE = """
import sys, uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def receive(request):
    await request.body()
    return JSONResponse({"received": True})

config = Config()
config.bind = [f"127.0.0.1:{sys.argv[1]}"]
config.accesslog = config.errorlog = None
uvloop.run(serve(Starlette(routes=[Route(sys.argv[2], receive, methods=["POST"])]), config))
"""

Signed = tuple[bytes, dict[str, str]]


@contextmanager
def _bare() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", _BARE, str(port), PATH])
    try:
        for _ in range(200):
            try:
                HTTPConnection("127.0.0.1", port).connect()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def _signed(number: int) -> Signed:
    session = {
        "id": f"cs_bench_{number}",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "status": "complete",
        "amount_subtotal": 500,
        "amount_total": 500,
        "currency": "usd",
        "metadata": {"padding": "x" * 2000},  # a real session has some 3 KiB
    }
    event = {
        "id": f"evt_bench_{number}",
        "object": "event",
        "type": "checkout.session.completed",
        "api_version": stripe.api_version,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": session},
    }
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET, int(time.time()))
    return body.encode(), {"Stripe-Signature": header, "Content-Type": "application/json"}


def _send(port: int, share: Sequence[Signed]) -> list[float]:
    """Milliseconds of each acknowledgement over one connection."""
    connection, took = HTTPConnection("127.0.0.1", port, timeout=60), []
    for body, headers in share:
        started = time.perf_counter()
        connection.request("POST", PATH, body=body, headers=headers)
        response = connection.getresponse()
        response.read()
        took.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            raise RuntimeError(f"an event was answered {response.status}")
    connection.close()
    return took


def _storm(port: int, events: Sequence[Signed]) -> list[float]:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = pool.map(lambda start: _send(port, events[start::CONNECTIONS]), range(CONNECTIONS))
        return [one for share in shares for one in share]


def _checkouts(database: Any, users: Sequence[str]) -> None:  # Any: a pymongo database
    pack = {"id": "pack_500", "credits": 500_000, "bonus": 0, "price_minor_units": 500, "currency": "usd"}
    database["checkouts"].insert_many(
        {
            "_id": f"chk_bench_{number}",
            "user_id": users[number % len(users)],
            "pack": pack,
            "idempotency_key": f"checkout:bench:{number}",
            "state": "open",
            "session_id": f"cs_bench_{number}",
            "url": None,
            "created_at": datetime.now(UTC),
            "paid_at": None,
        }
        for number in range(CHECKOUTS)
    )


def _drain(database: Any) -> None:  # Any: a pymongo database
    until = time.monotonic() + 300
    while database["webhook_events"].count_documents({"state": "processed"}) < CHECKOUTS:
        if time.monotonic() > until:
            raise RuntimeError("the backlog was not drained in five minutes")
        time.sleep(0.1)


def _check(database: Any) -> None:  # Any: a pymongo database
    """Every effect once."""
    counts = {
        "events": database["webhook_events"].count_documents({}),
        "journals": database["ledger_journals"].count_documents({"kind": "topup"}),
        "paid": database["checkouts"].count_documents({"state": "paid"}),
        "credits": sum(row["credits"]["purchased"] for row in database["users"].find({"credits": {"$exists": True}}))
        // 500_000,
    }
    if set(counts.values()) != {CHECKOUTS}:
        raise RuntimeError(f"not every effect happened once: {counts}")


def run() -> None:
    chance = random.Random(6)
    with tempfile.TemporaryDirectory() as directory, _bare() as bare:
        service = RunningService(Path(directory))
        service.start()
        server = EmbeddedMongod.start(service.data_dir / "mongo")
        client: MongoClient[dict[str, Any]] = MongoClient(server.url, tz_aware=True)
        try:
            database = client["promptforge"]
            users = [service.person(f"buyer-{number}").get("/users/me")["id"] for number in range(BUYERS)]
            _checkouts(database, users)
            events = [_signed(number) for number in range(CHECKOUTS)]
            events += chance.choices(events, k=EVENTS - CHECKOUTS)
            chance.shuffle(events)
            plain = _storm(bare, events)
            started = time.monotonic()
            acknowledged = _storm(service.port, events)
            sent = time.monotonic()
            _drain(database)
            drained = time.monotonic()
            _check(database)
        finally:
            client.close()
            server.stop()
            service.stop()
    rows = [
        Row("bare route, p50", [quantiles(plain, n=100)[49]], "ms"),
        Row("acknowledgement, p50", [quantiles(acknowledged, n=100)[49]], "ms", "bare route, p50"),
        Row("bare route, p99", [quantiles(plain, n=100)[98]], "ms"),
        Row("acknowledgement, p99", [quantiles(acknowledged, n=100)[98]], "ms", "bare route, p99", f"≤ {BUDGET_MS}"),
        Row("acknowledged", [EVENTS / (sent - started)], "/s"),
        Row("backlog drained after", [drained - sent], "s"),
    ]
    print_rows(f"{EVENTS} events, 30 % duplicates, {CONNECTIONS} connections; every effect once", rows)
