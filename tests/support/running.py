"""The real service as another process, and the people who use it over a real socket."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import stripe

from promptforge.core.identity import mint
from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from promptforge.http.rates import RateClass
from tests.support.starting import Files, Process, start
from tests.support.waiving import WAIVED

WEBHOOK_SECRET = "whsec_tests"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of what speaks no TLS: loading all certificates takes longer than most requests, for each client."""
PLENTY = ",".join(f"{name}=1000000/minute" for name in RateClass)
"""Tests ask more often than people; those of the budgets set their own."""


PATIENCE_SECONDS = 120.0
"""After which what has not come is missing: no promise of the service, for machines stand still for half a minute."""
PORTS = range(20_000, 27_000)
"""Below those that the kernel gives to whoever asks for any, and those of the embedded mongods."""


def free_port() -> int:
    """A port for a process that is still to start, or to start again: no other test of this machine is given it.

    What says so is the name of a socket, which goes with this process.
    """
    for port in random.sample(PORTS, len(PORTS)):
        kept = socket.socket(socket.AF_UNIX)
        try:
            kept.bind(f"\0promptforge-tests-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            kept.close()
            continue
        kept.detach()  # it stays open
        return port
    raise AssertionError("no port is free")


def clean_environment(**settings: str) -> dict[str, str]:
    """Nothing of the caller's environment that would configure the service."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "LOG_LEVEL": "warning", "RATE_LIMITS": PLENTY, **settings}


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a `promptforge` command to its end."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
        files = Files(errors.fileno(), told.fileno())
        process = start(arguments, clean_environment(**settings), files)
        try:
            code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
        told.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, told.read(), errors.read())


def eventually(look: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until `look` answers something true, and answer it."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)
    return found


class RunningService:
    """Started on a data directory; may be killed and started again on it."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._settings = {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, **settings}
        self._process: Process | None = None
        self._people: list[Person] = []

    def set(self, **settings: str) -> None:
        """Settings of the next start."""
        self._settings |= settings

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def mongo_directory(self) -> Path:
        return self.data_dir / "mongo"

    @property
    def log(self) -> str:
        return (self.directory / "service.log").read_text()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "service.log").open("ab") as log:
            self._process = start(
                ["serve"],
                clean_environment(PORT=str(self.port), PROMPTFORGE_DATA_DIR=str(self.data_dir), **self._settings),
                Files(log.fileno()),
            )
        eventually(self._ready, seconds=180)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-2000:]
        try:
            return httpx.get(f"{self.base_url}/health/ready", timeout=3, verify=PLAIN).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill -9; its mongod goes on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; answers the exit code."""
        self.begin_stop()
        return self.wait()

    def begin_stop(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit code, once there is one."""
        assert self._process is not None
        return self._process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """Stop it and its mongod, whatever has happened to them."""
        for person in self._people:
            person.client.close()
        if self._process is not None and self._process.poll() is None:
            self.terminate()
        if self._mongod_lives():  # a killed service leaves its mongod behind
            EmbeddedMongod.start(self.mongo_directory).stop()

    def _mongod_lives(self) -> bool:
        """Whether somebody holds mongod's own lock."""
        try:
            with (self.mongo_directory / "db" / "mongod.lock").open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return True
        except FileNotFoundError:
            pass
        return False

    def mongod_pid(self) -> int:
        pid: int = json.loads((self.mongo_directory / "mongod.json").read_text())["pid"]
        return pid

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `promptforge` command beside it, on the same data."""
        return command(*arguments, "--data-dir", str(self.data_dir))

    def person(self, uid: str, *roles: Role) -> Person:
        person = Person(self.base_url, uid, roles)
        self._people.append(person)
        return person

    def funded(self, uid: str, credits: int) -> Person:
        """Somebody whom an administrator has given so many credits."""
        person = self.person(uid)
        grant = {"amount": str(credits), "reason": "A test"}
        self.person("admin", Role.ADMIN).post(f"/users/{person.get('/users/me')['id']}/grants", grant, expect=201)
        return person

    def pay(self, checkout: dict[str, Any], *, event_id: str | None = None) -> httpx.Response:
        """What Stripe sends once a checkout is paid."""
        session = {
            "id": checkout["session_id"],
            "object": "checkout.session",
            "mode": "payment",
            "payment_status": "paid",
            "status": "complete",
            "amount_subtotal": checkout["amount"],
            "amount_total": checkout["amount"],
            "currency": checkout["currency"],
            "client_reference_id": checkout["id"],
            "livemode": False,
        }
        event = {
            "id": event_id or f"evt_{checkout['id']}",
            "object": "event",
            "type": "checkout.session.completed",
            "api_version": stripe.api_version,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": session},
        }
        return self.send_event(json.dumps(event))

    def send_event(
        self, payload: str | bytes, *, secret: str = WEBHOOK_SECRET, at: int | None = None, signature: Any = None
    ) -> httpx.Response:
        if signature is None:
            text = payload.decode("latin-1") if isinstance(payload, bytes) else payload
            signature = stripe.WebhookSignature.generate_signature_header(
                payload=text, secret=secret, timestamp=at or int(time.time())
            )
        return httpx.post(
            f"{self.base_url}/api/v1/webhooks/stripe",
            content=payload,
            headers={"Stripe-Signature": signature, "Content-Type": "application/json"},
            timeout=PATIENCE_SECONDS,
            verify=PLAIN,
        )


class Person:
    """A signed-in user; also a program without a token where `uid` is empty."""

    def __init__(self, base_url: str, uid: str, roles: tuple[Role, ...]) -> None:
        headers = {"Authorization": f"Bearer {mint(uid, project_id=DEMO_PROJECT, roles=roles)}"} if uid else {}
        self.client = httpx.Client(
            base_url=f"{base_url}/api/v1", headers=headers, timeout=PATIENCE_SECONDS, verify=PLAIN
        )

    def call(self, method: str, path: str, body: Any = None, *, expect: int) -> Any:
        response = self.client.request(method, path, json=body)
        assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None

    def get(self, path: str, *, expect: int = 200) -> Any:
        return self.call("GET", path, expect=expect)

    def all(self, path: str) -> Iterator[Any]:
        """Every item of a list, page by page."""
        page = self.get(f"{path}?limit=100")
        yield from page["items"]
        while page["next"]:
            page = self.get(f"{path}?limit=100&cursor={page['next']}")
            yield from page["items"]

    def post(self, path: str, body: Any = None, *, expect: int = 200) -> Any:
        return self.call("POST", path, body, expect=expect)


@contextmanager
def jobs_wait(operator: Person, queue: str = "default") -> Iterator[None]:
    """Meanwhile no job of this queue begins, those of the schedules neither, whose minute may be any."""
    operator.post(f"/jobs/queues/{queue}/pause")
    try:
        yield
    finally:
        operator.post(f"/jobs/queues/{queue}/resume")


def verified_ledger(operator: Person) -> dict[str, Any]:
    """The report of a verification that begins now."""
    job = operator.post("/ops/ledger/verification", expect=202)
    ended: dict[str, Any] = eventually(
        lambda: (found := operator.get(f"/jobs/{job['job_id']}"))["finished_at"] and found, seconds=60
    )
    assert ended["state"] == "completed", ended
    report: dict[str, Any] = operator.get("/ops/ledger")
    assert ended["result"] == {"ok": report["ok"], "violations_found": report["violations_found"]}
    return report


def assert_ledger_whole(service: RunningService) -> None:
    """By a verification that begins now, asked for by an operator of its own."""
    report = verified_ledger(service.person("auditor_of_the_ledger", Role.OPERATOR))
    assert report["violations"] == []


LISTING_PRICE = "10"
LISTING = {
    "version": 1,
    "title": "Summaries for people in a hurry",
    "summary": "Three sentences",
    "description": "Any article in three sentences.",
    "category": "writing",
    "price": LISTING_PRICE,
}


def published_listing(
    service: RunningService, seller: Person, moderator: Person, *, name: str, price: str = LISTING_PRICE
) -> str:
    """A listing that went the whole way; answers its id."""
    prompt = seller.post("/prompts", {"name": name}, expect=201)
    seller.post(f"/prompts/{prompt['id']}/versions", {"content": f"The text of {name}: {{{{article}}}}"}, expect=201)
    listing = seller.post("/marketplace/listings", {**LISTING, "price": price, "prompt_id": prompt["id"]}, expect=201)
    seller.post(f"/marketplace/listings/{listing['id']}/submit")

    def case() -> Any:
        return [case for case in moderator.all("/moderation/cases") if case["listing_id"] == listing["id"]]

    decision = {"decision": "approve", "reason_code": "meets_guidelines", "public_note": "Good."}
    path = f"/moderation/cases/{eventually(case)[0]['id']}"
    moderator.post(f"{path}/claim")
    moderator.post(f"{path}/decision", decision)
    identifier: str = listing["id"]
    return identifier


def fund(service: RunningService, buyer: Person) -> None:
    """Buy the smallest pack; its credits are there, which a job brings."""
    pack = buyer.get("/billing/packs")["packs"][0]
    checkout = buyer.post("/billing/checkouts", {"pack_id": pack["id"], **WAIVED}, expect=201)
    assert service.pay(checkout).status_code == 200
    eventually(lambda: buyer.get(f"/billing/checkouts/{checkout['id']}")["state"] == "paid")
