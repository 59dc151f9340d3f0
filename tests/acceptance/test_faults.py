"""What stops a start, what a stop promises, and what happens while MongoDB is away."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import httpx
import pytest

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.mongo.mongod import find_mongod
from promptforge.core.principal import Role
from tests.support.running import Person, RunningService, command, eventually, free_port


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"REDIS_URL": "redis://x"}, "REDIS_URL is set, and this service uses no Redis: remove it"),
        ({"MONGO_URL": "nonsense"}, "MONGO_URL cannot be used"),
        ({"MONGO_URL": "mongodb://u:hunter2@127.0.0.1:1/"}, "does not answer"),
        ({"HOST": "0.0.0.0"}, "anyone could sign in as anybody"),  # that is what is refused
        ({"PORT": "many"}, "PORT"),
        ({"ENVIRONMENT": "production"}, "GOOGLE_APPLICATION_CREDENTIALS"),
        ({"ENVIRONMENT": "production", "FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:9"}, "FIREBASE_AUTH_EMULATOR_HOST"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_in_one_line(
    tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    done = command("serve", **{"PORT": str(free_port()), "PROMPTFORGE_DATA_DIR": str(tmp_path), **settings})
    _refused(done, reason)
    assert "hunter2" not in done.stderr


def _refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 78, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("promptforge: ")
    assert reason in line


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        _refused(command("serve", PORT=port, PROMPTFORGE_DATA_DIR=str(tmp_path)), f"cannot listen on 127.0.0.1:{port}")


def test_a_foreign_mongod_in_the_data_directory_and_one_without_a_replica_set_are_refused(tmp_path: Path) -> None:
    database = tmp_path / "mongo" / "db"
    database.mkdir(parents=True)
    port = free_port()
    foreign = subprocess.Popen(
        [
            str(find_mongod()),
            "--dbpath",
            str(database),
            "--port",
            str(port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: (database / "mongod.lock").exists() and (database / "mongod.lock").read_text())
        eventually(lambda: _listening(port))
        own = {"PORT": str(free_port()), "PROMPTFORGE_DATA_DIR": str(tmp_path)}
        _refused(command("serve", **own), "held by a mongod that this service did not start")
        _refused(command("serve", **own, MONGO_URL=f"mongodb://127.0.0.1:{port}/"), "not a replica set")
    finally:
        foreign.terminate()
        foreign.wait()


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """Clients that ask without a pause, and note every answer."""

    def __init__(self, service: RunningService, clients: int) -> None:
        self.answers = Counter[int]()
        self.created: list[str] = []
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(service.person(f"load{number}"), number))
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, person: Person, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            try:
                if turn % 5:
                    response = person.client.get("/users/me")
                else:
                    response = person.client.post("/prompts", json={"name": secrets.token_hex(8)})
            except httpx.ConnectError:
                time.sleep(0.02)  # nobody listens: nothing was accepted
                continue
            except httpx.HTTPError as error:
                with self._lock:
                    self.broken.append(repr(error))
                continue
            with self._lock:
                self.answers[response.status_code] += 1
                if response.status_code == 201:
                    self.created.append(response.json()["id"])


def test_a_stop_under_load_answers_every_accepted_request_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    service = RunningService(tmp_path)
    service.start()
    try:
        with Load(service, 8) as load:
            eventually(lambda: sum(load.answers.values()) > 200)
            assert service.terminate() == 0
        assert set(load.answers) <= {200, 201}
        assert load.broken == []
        assert "Traceback" not in service.log
        service.start()
        for number in range(8):
            person = service.person(f"load{number}")
            kept = {prompt["id"] for prompt in person.all("/prompts")}
            load.created = [created for created in load.created if created not in kept]
        assert load.created == []
    finally:
        service.stop()


def test_while_mongodb_is_killed_and_away_requests_get_503_and_then_work_again(service: RunningService) -> None:
    with Load(service, 6) as load:
        eventually(lambda: sum(load.answers.values()) > 50)
        mongod = service.mongod_pid()
        with _kept_away(service):
            os.kill(mongod, signal.SIGKILL)
            time.sleep(5)
            assert httpx.get(f"{service.base_url}/health/live").status_code == 200
            assert httpx.get(f"{service.base_url}/health/ready", timeout=10).status_code == 503
        eventually(lambda: httpx.get(f"{service.base_url}/health/ready", timeout=10).status_code == 200, seconds=60)
        before = load.answers[200]
        eventually(lambda: load.answers[200] > before + 50)
    assert load.answers[503] > 0
    assert set(load.answers) <= {200, 201, 503}
    assert load.broken == []


class _kept_away:  # noqa: N801  # reads as a phrase
    """Holds the lock that the service needs to start its mongod again."""

    def __init__(self, service: RunningService) -> None:
        self._server = EmbeddedMongod(service.data_dir / "mongo", None, 0.25)
        self._lock = self._server._lock()

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__(None, None, None)


def test_while_mongodb_hangs_requests_wait_or_get_503_and_then_work_again(service: RunningService) -> None:
    with Load(service, 6) as load:
        eventually(lambda: sum(load.answers.values()) > 50)
        mongod = service.mongod_pid()
        os.kill(mongod, signal.SIGSTOP)
        try:
            time.sleep(5)
        finally:
            os.kill(mongod, signal.SIGCONT)
        before = load.answers[200]
        eventually(lambda: load.answers[200] > before + 50)
    assert set(load.answers) <= {200, 201, 503}
    assert load.broken == []


def test_the_command_line_works_beside_the_running_service(service: RunningService) -> None:
    service.person("carla", Role.SELLER).get("/users/me")
    before = service.mongod_pid()
    for arguments in (("ledger", "verify"), ("jobs", "list"), ("doctor",)):
        done = service.command(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert service.mongod_pid() == before
    assert httpx.get(f"{service.base_url}/health").json()["status"] == "ok"
