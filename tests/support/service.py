"""The running service with what tests of faults need: its documents, its mongod's signals, its problems."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import stripe
from pymongo import MongoClient

from promptforge.core.mongo import EmbeddedMongod
from tests.support.running import PATIENCE_SECONDS, PLAIN, WEBHOOK_SECRET, RunningService

DATABASE = "promptforge"
Documents = dict[str, list[Any]]


class Service(RunningService):
    """`RunningService` whose mongod may be stopped, frozen, kept away and looked into."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
        self.visitor = httpx.Client(base_url=self.base_url, timeout=PATIENCE_SECONDS, verify=PLAIN)
        """Somebody without a token; one client for all that they send, for making one takes longer than a request."""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        self.visitor.close()
        super().stop()

    def signal_mongod(self, number: signal.Signals) -> None:
        os.kill(self.mongod_pid(), number)

    def send_event(
        self, payload: str | bytes, *, secret: str = WEBHOOK_SECRET, at: int | None = None, signature: Any = None
    ) -> httpx.Response:
        """As Stripe does; signed well where no signature is given. Bytes that are not UTF-8 need a signature."""
        if signature is None:
            signature = stripe.WebhookSignature.generate_signature_header(
                payload=payload if isinstance(payload, str) else payload.decode(),
                secret=secret,
                timestamp=at or int(time.time()),
            )
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        return self.visitor.post("/api/v1/webhooks/stripe", content=payload, headers=headers)

    @contextmanager
    def mongod_kept_away(self) -> Iterator[None]:
        """Kill mongod with -9 and let nobody start it again meanwhile: starting takes a lock, which is held here."""
        with (self.mongo_directory / "start.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.signal_mongod(signal.SIGKILL)
            yield

    @contextmanager
    def mongod_frozen(self) -> Iterator[None]:
        """SIGSTOP: connections stay open and nothing is answered."""
        self.signal_mongod(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_mongod(signal.SIGCONT)

    @contextmanager
    def database(self) -> Iterator[MongoClient[dict[str, Any]]]:
        """A client of the service's own mongod; it sees what the service sees, no sooner."""
        server = EmbeddedMongod.start(self.mongo_directory)
        client: MongoClient[dict[str, Any]] = MongoClient(server.url, tz_aware=True, readConcernLevel="majority")
        try:
            yield client
        finally:
            client.close()
            server.stop()


def documents(client: MongoClient[dict[str, Any]]) -> Documents:
    """Everything that is stored, by collection."""
    database = client[DATABASE]
    return {name: list(database[name].find().sort("_id")) for name in sorted(database.list_collection_names())}


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A problem document (RFC 9457) that says which one, and by which request."""
    assert response.status_code == status, f"{response.status_code}, not {status}: {response.text[:500]}"
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    assert "Traceback" not in response.text
    return problem


@contextmanager
def serving(directory: Path, **settings: str) -> Iterator[Service]:
    """A started service, stopped in the end, its data deleted where no other has them: they take hundreds of MB."""
    service = Service(directory, **settings)
    own = not service.data_dir.exists()
    try:
        service.start()
        yield service
    finally:
        service.stop()
        if own:
            shutil.rmtree(service.data_dir, ignore_errors=True)
