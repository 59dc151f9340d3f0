"""SIGTERM and MongoDB going away under load: whoever was let in gets an answer, and nothing that was said is lost."""

from __future__ import annotations

import http.client
import itertools
import json
import secrets
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from promptforge.core.identity import mint
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.running import PATIENCE_SECONDS, Person, eventually, fund, published_listing, verified_ledger
from tests.support.service import Service, assert_problem, serving
from tests.support.starting import as_users_do

CLIENTS = 8
RESTED_SECONDS = 0.25
"""A connection idle for longer than this may be closed on the request that comes after all: the server announces its
stop in the answers of half a second, and who asks for nothing meanwhile cannot hear it (RFC 9112, 9.5)."""


@dataclass
class Heard:
    """What the clients were told."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    answers: int = 0


def since_data_came(connection: http.client.HTTPConnection) -> float:
    """Seconds, as the kernel knows them: threads that stand still read an answer long after it came (tcp(7))."""
    told = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    *_, last_data_received = struct.unpack_from("8B12I", told)
    return float(last_data_received) / 1000


class Load:
    """Keep-alive clients that ask without a pause, until they are told to stop or nobody listens any more."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._name = secrets.token_hex(4)
        self._over = threading.Event()
        self._terminated = threading.Event()
        self.heard = [Heard() for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(CLIENTS)]

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads)

    def may_be_refused(self) -> None:
        """SIGTERM comes next: connections may be refused from now on."""
        self._terminated.set()

    def until_answered(self, times: int) -> None:
        """Wait until every client has had `times` more answers."""
        wanted = [heard.answers + times for heard in self.heard]
        eventually(lambda: all(h.answers >= w for h, w in zip(self.heard, wanted, strict=True)))

    @property
    def statuses(self) -> Counter[int]:
        return sum((heard.statuses for heard in self.heard), Counter[int]())

    @property
    def codes(self) -> Counter[str]:
        return sum((heard.codes for heard in self.heard), Counter[str]())

    @property
    def problems(self) -> list[str]:
        return [problem for heard in self.heard for problem in heard.problems]

    def created(self) -> list[tuple[str, str]]:
        """Who was told that which prompt is stored."""
        return [(f"client{n}", identifier) for n, heard in enumerate(self.heard) for identifier in heard.created]

    def _client(self, number: int) -> None:
        heard = self.heard[number]
        token = mint(f"client{number}", project_id=DEMO_PROJECT)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        requests = self._requests(number)
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=PATIENCE_SECONDS)
            try:
                connection.connect()
            except OSError as error:
                if not self._terminated.is_set():
                    heard.problems.append(f"no connection: {error!r}")
                return
            try:
                self._converse(connection, headers, requests, heard)
            finally:
                connection.close()

    def _requests(self, number: int) -> Iterator[tuple[str, str, str | None]]:
        for count in itertools.count():
            yield "POST", "/api/v1/prompts", json.dumps({"name": f"{self._name} {number}-{count}"})
            yield "GET", "/api/v1/prompts?limit=5", None
            yield "GET", "/api/v1/users/me", None

    def _converse(
        self,
        connection: http.client.HTTPConnection,
        headers: dict[str, str],
        requests: Iterator[tuple[str, str, str | None]],
        heard: Heard,
    ) -> None:
        """Ask on one connection until the server says that it closes it."""
        answered = False
        while not self._over.is_set():
            method, path, body = next(requests)
            rested: float | None = None
            try:
                looked, came = time.monotonic(), since_data_came(connection)
                connection.request(method, path, body, headers)
                rested = came + time.monotonic() - looked if answered else None
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                if not self._may_go_unanswered(rested):
                    heard.problems.append(f"{method} {path} unanswered after {rested}: {error!r}")
                return
            try:
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                heard.problems.append(f"{method} {path} half answered: {error!r}")
                return
            answered = True
            self._note(heard, response, text)
            if response.will_close:
                return

    def _may_go_unanswered(self, rested: float | None) -> bool:
        """Only where a stop was asked for, and on a connection just made (still in the listener's queue) or idle."""
        return self._terminated.is_set() and (rested is None or rested > RESTED_SECONDS)

    @staticmethod
    def _note(heard: Heard, response: http.client.HTTPResponse, text: bytes) -> None:
        heard.statuses[response.status] += 1
        answer: dict[str, Any] = json.loads(text)
        if response.status == 201:
            heard.created.append(answer["id"])
        elif response.status >= 400:
            heard.codes[answer["code"]] += 1
            if response.headers["Content-Type"] != "application/problem+json" or "request_id" not in answer:
                heard.problems.append(f"not a problem: {text[:200]!r}")
        heard.answers += 1


def _all_there(service: Service, load: Load) -> None:
    """Every prompt that somebody was told is stored can be read by them."""
    stored = {name: _prompts(service.person(name)) for name in {name for name, _ in load.created()}}
    missing = [(name, identifier) for name, identifier in load.created() if identifier not in stored[name]]
    assert missing == []


def _prompts(person: Person) -> set[str]:
    found: set[str] = set()
    page = person.get("/prompts?limit=100")
    found.update(prompt["id"] for prompt in page["items"])
    while page["next"]:
        page = person.get(f"/prompts?limit=100&cursor={page['next']}")
        found.update(prompt["id"] for prompt in page["items"])
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("stopping")) as service:
        yield service


def test_a_sigterm_under_load_leaves_nobody_without_an_answer(tmp_path: Path) -> None:
    with as_users_do(), serving(tmp_path) as service:
        load = Load(service)
        with load.running():
            load.until_answered(10)
            pid = service.mongod_pid()
            load.may_be_refused()
            assert service.terminate() == 0, service.log[-3000:]
        assert load.problems == []
        assert set(load.statuses) == {200, 201}, (load.statuses, load.codes)
        assert not Path(f"/proc/{pid}/exe").exists()  # the last one out stops mongod
        service.start()
        _all_there(service, load)


def test_a_service_killed_under_load_has_kept_what_it_said(service: Service) -> None:
    load = Load(service)
    with load.running():
        load.until_answered(10)
        load.may_be_refused()
        pid = service.mongod_pid()
        service.kill()
    service.start()
    assert service.mongod_pid() == pid  # its mongod has waited for it
    _all_there(service, load)


def test_a_mongod_that_is_away_for_five_seconds_means_503_and_then_all_is_well(service: Service) -> None:
    load = Load(service)
    with load.running():
        load.until_answered(5)
        with service.mongod_kept_away():
            away_until = time.monotonic() + 5
            assert_problem(service.person("anyone").client.get("/prompts"), 503, "database_unavailable")
            time.sleep(max(0.0, away_until - time.monotonic()))
        eventually(lambda: _answers(service))
        assert load.statuses[503] > 0
        # What was on its way when mongod came back may still be a 503.
        eventually(lambda: _all_is_well(load))
    _was_fair(service, load)


def test_a_mongod_that_is_killed_is_started_again(service: Service) -> None:
    pid = service.mongod_pid()
    load = Load(service)
    with load.running():
        load.until_answered(5)
        service.signal_mongod(signal.SIGKILL)
        eventually(lambda: service.mongod_pid() != pid)
        eventually(lambda: _answers(service))
        load.until_answered(10)
    _was_fair(service, load)


def test_a_mongod_that_is_frozen_for_five_seconds_goes_on(service: Service) -> None:
    pid = service.mongod_pid()
    load = Load(service)
    with load.running():
        load.until_answered(5)
        with service.mongod_frozen():
            time.sleep(3)
            assert service.visitor.get("/health/live").status_code == 200
            assert service.visitor.get("/health/ready").status_code == 503
        load.until_answered(10)
    assert service.mongod_pid() == pid
    _was_fair(service, load)


def _answers(service: Service) -> bool:
    return service.person("anyone").client.get("/prompts").status_code == 200


def _all_is_well(load: Load) -> bool:
    """Ten answers more for each client, and nobody was refused."""
    refused = load.statuses[503]
    load.until_answered(10)
    return load.statuses[503] == refused


def _was_fair(service: Service, load: Load) -> None:
    """Answers or 503 problems and nothing else; what was acknowledged is there; the service is the one it was."""
    assert load.problems == []
    assert set(load.statuses) <= {200, 201, 503}, (load.statuses, load.codes)
    assert set(load.codes) <= {
        "database_unavailable",
        "outcome_unknown",
        "deadline_exceeded",
        "overloaded",
        "unavailable",
        "database_busy",
    }, load.codes
    assert service.running
    eventually(lambda: _answers(service))
    _all_there(service, load)


def test_jobs_run_again_after_all_of_this(service: Service) -> None:
    seller = service.person("late-seller", Role.SELLER)
    listing = published_listing(service, seller, service.person("moderator", Role.MODERATOR), name="Late")
    buyer = service.person("late-buyer")
    fund(service, buyer)
    buyer.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "10"}, expect=201)
    eventually(lambda: [one for one in seller.get("/notifications")["items"] if one["kind"] == "listing.sold"])
    assert verified_ledger(service.person("operator", Role.OPERATOR))["ok"]


def test_no_request_of_all_these_was_a_surprise(service: Service) -> None:
    surprises = ("http.unexpected_error", "http.failed_while_answering", "actor.crashed")
    assert [line[:500] for line in service.log.splitlines() if any(word in line for word in surprises)] == []
