"""The embedded mongod: started, shared, killed and started again, with nothing acknowledged lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pymongo import MongoClient
from pymongo.errors import ExecutionTimeout, OperationFailure

from promptforge.core.errors import ConfigurationError, DatabaseUnavailable
from promptforge.core.mongo import EmbeddedMongod, Mongo, embedded
from promptforge.core.mongo import mongod as mongods
from promptforge.core.mongo.mongod import Running, find_mongod, running
from tests.support.running import free_port

pytestmark = pytest.mark.anyio


@contextmanager
def _started(directory: Path) -> Iterator[EmbeddedMongod]:
    server = EmbeddedMongod.start(directory)
    try:
        yield server
    finally:
        server.stop()


async def _write(url: str, identifier: int) -> None:
    mongo = await Mongo.connect(url, "kept")
    await mongo.collection("things").insert_one({"_id": identifier})
    mongo.close()


async def _ids(url: str) -> list[int]:
    mongo = await Mongo.connect(url, "kept")
    rows = await mongo.collection("things").find({}).sort([("_id", 1)]).to_list(100)
    mongo.close()
    return [row["_id"] for row in rows]


async def test_data_and_port_survive_a_stop_and_a_start(tmp_path: Path) -> None:
    with _started(tmp_path) as first:
        await _write(first.url, 1)
        port = first.port
    with _started(tmp_path) as second:
        assert second.port == port
        assert await _ids(second.url) == [1]


async def test_a_second_user_adopts_the_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    first = EmbeddedMongod.start(tmp_path)
    second = EmbeddedMongod.start(tmp_path)
    assert (second.adopted, second.pid) == (True, first.pid)
    first.stop()
    await _write(second.url, 1)
    second.stop()
    last = Running.read(tmp_path / "mongod.json")
    assert last is not None
    assert not last.alive


async def test_what_was_acknowledged_survives_a_kill_of_mongod(tmp_path: Path) -> None:
    with _started(tmp_path) as server:
        port = server.port
        for number in range(20):
            await _write(server.url, number)
        os.kill(server.pid, signal.SIGKILL)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.watch)
            with anyio.fail_after(60):
                while not await _answers(server):
                    await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
        assert server.port == port
        assert await _ids(server.url) == list(range(20))


async def _answers(server: EmbeddedMongod) -> bool:
    try:
        mongo = await Mongo.connect(server.url, "kept")
    except ConfigurationError:
        return False
    try:
        await mongo.ping()
    except DatabaseUnavailable:
        return False
    finally:
        mongo.close()
    return True


_HOLD = """
import sys, time
from pathlib import Path
from promptforge.core.mongo import EmbeddedMongod
server = EmbeddedMongod.start(Path(sys.argv[1]))
print("started", server.pid, server.port, server.adopted, flush=True)
time.sleep(600)
"""


def _process_holding(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _HOLD, str(directory)], stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    for line in process.stdout:  # log lines come before it
        if line.startswith("started "):
            return line.split()[1:]
    raise AssertionError("it ended without having started")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def test_a_server_whose_starter_was_killed_is_adopted(tmp_path: Path) -> None:
    starter = _process_holding(tmp_path)
    pid, port, _ = _said(starter)
    with _started(tmp_path) as meanwhile:
        await _write(meanwhile.url, 1)
    _end(starter)
    with _started(tmp_path) as server:
        assert (server.adopted, str(server.pid), str(server.port)) == (True, pid, port)
        assert await _ids(server.url) == [1]


async def test_two_processes_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    processes = [_process_holding(tmp_path) for _ in range(3)]
    said = [_said(process) for process in processes]
    for process in processes:
        _end(process)
    assert len({pid for pid, _, _ in said}) == 1
    assert sorted(adopted for _, _, adopted in said) == ["False", "True", "True"]
    EmbeddedMongod.start(tmp_path).stop()


async def test_a_taken_port_is_left_and_the_set_follows(tmp_path: Path) -> None:
    with _started(tmp_path) as first:
        await _write(first.url, 1)
        port = first.port
    with _taken(port), _started(tmp_path) as second:
        assert second.port != port
        assert await _ids(second.url) == [1]
        await _write(second.url, 2)


@pytest.mark.parametrize("whose", ["of somebody else", "of another mongod"])
async def test_a_port_that_is_taken_at_the_last_moment_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    with contextlib.ExitStack() as others:
        if whose == "of another mongod":
            taken = others.enter_context(_started(tmp_path / "other")).port
        else:
            taken = free_port()
            others.enter_context(_taken(taken))
        found = [taken, taken]
        monkeypatch.setattr(embedded, "free_port", lambda last: found.pop() if found else mongods.free_port(last))
        with _started(tmp_path / "ours") as server:
            assert (found, server.port != taken) == ([], True)
            await _write(server.url, 1)
        with _started(tmp_path / "ours") as server:
            assert await _ids(server.url) == [1]


@contextmanager
def _taken(port: int) -> Iterator[None]:
    """Somebody else's server, which hangs up on whoever connects."""
    with contextlib.suppress(OSError):
        yield from _hanging_up(port)
        return
    yield  # somebody else has it in earnest


def _hanging_up(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)) as listener:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_directory_held_by_a_foreign_mongod_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "db"
    database.mkdir(parents=True)
    foreign = subprocess.Popen(
        [str(find_mongod()), "--dbpath", str(database), "--port", "0", "--bind_ip", "127.0.0.1", "--nounixsocket"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with anyio.fail_after(60):
            while not (database / "mongod.lock").exists() or not (database / "mongod.lock").read_text():
                await anyio.sleep(0.05)
        with pytest.raises(ConfigurationError, match=rf"did not start \(pid {foreign.pid}\)"):
            EmbeddedMongod.start(tmp_path)
        assert foreign.poll() is None
    finally:
        foreign.terminate()
        foreign.wait()


async def test_a_binary_that_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PROMPTFORGE_MONGOD"):
        EmbeddedMongod.start(tmp_path, binary=tmp_path / "nothing")


async def test_secrets_in_the_directory_are_for_their_owner_only(tmp_path: Path) -> None:
    with _started(tmp_path / "data"):
        modes = {name: (tmp_path / "data" / name).stat().st_mode & 0o777 for name in ("key", "password")}
        assert modes == {"key": 0o600, "password": 0o600}
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "MONGO_URL cannot be used"),
        ("mongodb://user:hunter2@127.0.0.1:1/", "127.0.0.1:1 does not answer"),
        ("mongodb://user:hunter2@[::1", "MONGO_URL cannot be used"),
    ],
)
async def test_a_bad_url_is_refused_in_one_line_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.core.mongo.client.START_SECONDS", 0.3)
    with pytest.raises(ConfigurationError, match=reason) as refused:
        await Mongo.connect(url, "x")
    assert "hunter2" not in refused.value.detail
    assert "\n" not in refused.value.detail


async def test_a_wrong_password_is_named(mongod: EmbeddedMongod) -> None:
    url = f"mongodb://promptforge:wrong@127.0.0.1:{mongod.port}/?authSource=admin"
    with pytest.raises(ConfigurationError, match="refuses the user name or the password"):
        await Mongo.connect(url, "x")


async def test_a_server_that_is_no_replica_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.core.mongo.client.START_SECONDS", 60.0)  # it has only just been started
    port = free_port()
    alone = subprocess.Popen(
        [
            str(find_mongod()),
            "--dbpath",
            str(tmp_path),
            "--port",
            str(port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(ConfigurationError, match="not a replica set"):
            await Mongo.connect(f"mongodb://127.0.0.1:{port}/", "x")
    finally:
        alone.terminate()
        alone.wait()


async def test_nothing_of_it_is_bound_to_a_thread_or_loop(tmp_path: Path) -> None:
    servers: list[EmbeddedMongod] = []
    thread = threading.Thread(target=lambda: servers.append(EmbeddedMongod.start(tmp_path)))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    await _write(servers[0].url, 1)
    servers[0].stop()


async def test_what_a_slow_operation_looks_for_is_not_in_the_log(tmp_path: Path) -> None:
    with _started(tmp_path) as server:
        await _write(server.url, 1)
        mongo = await Mongo.connect(server.url, "kept")
        slow = {"$where": "sleep(400) || true", "name": {"$ne": "somebody's words"}}
        assert len(await mongo.collection("things").find(slow).to_list(10)) == 1
        mongo.close()
    assert "somebody's words" not in (tmp_path / "mongod.log").read_text()


def test_what_a_failed_operation_was_to_write_or_looked_for_is_not_in_the_log(tmp_path: Path) -> None:
    words = "somebody's words"
    with _started(tmp_path) as server, MongoClient[dict[str, Any]](server.url) as client:
        things = client.kept.things
        things.insert_one({"_id": 1})
        with client.start_session() as session, session.start_transaction():
            things.find_one({"_id": 1}, session=session)
            things.update_one({"_id": 1}, {"$set": {"name": "quicker"}})
            with pytest.raises(OperationFailure, match="WriteConflict"):
                things.find_one_and_update({"_id": 1}, {"$set": {"name": words}}, session=session)
            session.abort_transaction()
        with pytest.raises(ExecutionTimeout):
            list(things.find({"$where": "sleep(400) || true", "name": {"$ne": words}}).max_time_ms(50))
    log = (tmp_path / "mongod.log").read_text()
    assert words not in log
    assert '"msg":"Connection accepted"' in log


async def test_whoever_writes_the_log_can_be_killed_and_ends_with_its_mongod(tmp_path: Path) -> None:
    def writer() -> Running:
        (pid,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        return running(int(pid), 0)

    with _started(tmp_path) as server:
        os.kill(writer().pid, signal.SIGKILL)
        for identifier in range(5):
            await _write(server.url, identifier)
        assert await _ids(server.url) == [0, 1, 2, 3, 4]
    with _started(tmp_path) as server:
        living = writer()
        assert living.alive
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(60):
            while living.alive:
                await anyio.sleep(0.02)


async def test_what_is_under_way_outlives_a_server_that_stands_still_for_some_seconds(tmp_path: Path) -> None:
    """The driver gives up a server whose heartbeat is overdue, and everything that is under way to it."""
    outcomes: list[str] = []

    async def delete() -> None:
        try:
            await things.delete_many({})  # which is not sent again
            outcomes.append("done")
        except DatabaseUnavailable as error:
            outcomes.append(error.code)

    with _started(tmp_path) as server:
        mongo = await Mongo.connect(f"{server.url}&heartbeatFrequencyMS=500", "kept")
        things = mongo.collection("things")
        await delete()
        for _ in range(3):  # where the machine itself stands still, it is longer
            async with anyio.create_task_group() as tasks:
                os.kill(server.pid, signal.SIGSTOP)
                tasks.start_soon(delete)
                await anyio.sleep(3)
                os.kill(server.pid, signal.SIGCONT)
            if outcomes[-1] == "done":
                break
        mongo.close()
    assert outcomes[-1] == "done", outcomes
