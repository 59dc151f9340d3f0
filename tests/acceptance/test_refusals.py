"""What must not start does not start: one line that says why, exit code 78, and nothing was served."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from promptforge.core.mongo.mongod import find_mongod
from tests.support.running import PATIENCE_SECONDS, clean_environment, free_port
from tests.support.starting import Files, start

EXIT_CONFIGURATION = 78
PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def foreign_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("foreign")
    (directory / "mongo" / "db").mkdir(parents=True)
    return directory


@pytest.fixture(scope="module")
def foreign_port(foreign_directory: Path) -> Iterator[int]:
    """Somebody else's mongod: not a replica set, and on the directory where ours would keep its data."""
    port = free_port()
    command = [str(find_mongod()), "--dbpath", str(foreign_directory / "mongo" / "db"), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        patience = int(PATIENCE_SECONDS * 1000)
        client: MongoClient[dict[str, object]] = MongoClient(
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=patience
        )
        client.admin.command("ping")
        client.close()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _refused(data_dir: Path, **settings: str) -> str:
    """Try to serve; answers the one line, after making sure that nobody was answered meanwhile."""
    port = int(settings.pop("PORT", "0")) or free_port()
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as problems:
        process = start(
            ["serve", "--port", str(port), "--data-dir", str(data_dir)],
            clean_environment(**settings),
            Files(problems.fileno(), told.fileno()),
        )
        try:
            host = settings.get("HOST", "127.0.0.1")
            while process.poll() is None:
                assert not _answers("127.0.0.1" if host == "0.0.0.0" else host, port)
                time.sleep(0.02)
            code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
        told.seek(0)
        problems.seek(0)
        output, errors = told.read(), problems.read()
    assert code == EXIT_CONFIGURATION, errors
    assert output == ""
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    assert lines[0].startswith("promptforge: ")
    assert PASSWORD not in errors
    return lines[0]


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5) as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection.recv(1) != b""
    except OSError:
        return False


def test_a_redis_url_is_refused(tmp_path: Path) -> None:
    line = _refused(tmp_path / "data", REDIS_URL=f"redis://:{PASSWORD}@localhost")
    assert "REDIS_URL" in line
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "promptforge.deploy", "serve", "--port", str(port)]
        done = subprocess.run(
            [*command, "--data-dir", str(tmp_path / "data")],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert done.returncode == EXIT_CONFIGURATION
    assert done.stderr.count("\n") == 1
    assert str(port) in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_directory_held_by_a_foreign_mongod_is_refused(foreign_directory: Path, foreign_port: int) -> None:
    line = _refused(foreign_directory)
    assert "mongod" in line
    assert str(foreign_directory) in line
    client: MongoClient[dict[str, object]] = MongoClient("127.0.0.1", foreign_port, directConnection=True)
    try:
        assert client.admin.command("ping")["ok"] == 1  # and nobody has touched it
    finally:
        client.close()


def test_a_mongodb_that_is_no_replica_set_is_refused(tmp_path: Path, foreign_port: int) -> None:
    line = _refused(tmp_path / "data", MONGO_URL=f"mongodb://127.0.0.1:{foreign_port}")
    assert "replica set" in line
    assert not (tmp_path / "data").exists()


def test_a_wrong_password_is_refused(tmp_path: Path, foreign_port: int) -> None:
    line = _refused(tmp_path, MONGO_URL=f"mongodb://forge:{PASSWORD}@127.0.0.1:{foreign_port}")
    assert str(foreign_port) in line


@pytest.mark.parametrize(
    "url",
    [
        f"nonsense://forge:{PASSWORD}@localhost",
        f"mongodb://forge:{PASSWORD}@localhost:port",
        f"mongodb://forge@{PASSWORD}@localhost",
        f"mongodb://forge:{PASSWORD}@[::1",
    ],
)
def test_a_mongo_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    assert "MONGO_URL" in _refused(tmp_path, MONGO_URL=url)


def test_a_mongodb_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    port = free_port()
    assert f"127.0.0.1:{port}" in _refused(tmp_path, MONGO_URL=f"mongodb://forge:{PASSWORD}@127.0.0.1:{port}")


def test_development_identity_is_refused_in_production(tmp_path: Path) -> None:
    assert "GOOGLE_APPLICATION_CREDENTIALS" in _refused(tmp_path, ENVIRONMENT="production")


def test_an_identity_emulator_is_refused_in_production(tmp_path: Path) -> None:
    line = _refused(
        tmp_path,
        ENVIRONMENT="production",
        FIREBASE_AUTH_EMULATOR_HOST="127.0.0.1:9099",
        GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "account.json"),
        FIREBASE_PROJECT_ID="promptforge-live",
        MONGO_URL=f"mongodb://forge:{PASSWORD}@127.0.0.1:1/?replicaSet=rs0",
        SECRET_KEY=PASSWORD,
        STRIPE_SECRET_KEY=f"sk_test_{PASSWORD}",
    )
    assert "FIREBASE_AUTH_EMULATOR_HOST" in line


def test_development_identity_is_refused_beyond_this_machine(tmp_path: Path) -> None:
    assert "HOST is 0.0.0.0" in _refused(tmp_path, HOST="0.0.0.0")


def test_settings_that_make_no_sense_are_refused_all_at_once(tmp_path: Path) -> None:
    line = _refused(tmp_path, ENVIRONMENT="staging", GRACE_SECONDS="soon", MONGO_DB="a/b")
    assert all(name in line for name in ("ENVIRONMENT", "GRACE_SECONDS", "MONGO_DB"))


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("not a directory")
    assert str(path) in _refused(path)
