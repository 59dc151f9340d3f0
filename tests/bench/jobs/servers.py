"""Servers of Redis and PostgreSQL for one measurement: each a process of its own on a free port of 127.0.0.1, with its
data in a temporary directory (so TMPDIR decides which disk is measured), stopped and removed when the block ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


class ServerUnavailable(Exception):
    """A server's program is not installed, or it did not start; the words say which, and the end of its log why."""


@contextmanager
def redis_server(*, durable: bool = False) -> Iterator[str]:
    """The URL of an empty Redis. Durable means that it answers a write when the write is on the disk; otherwise it
    writes nothing to the disk at all.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ServerUnavailable("redis-server is not installed")
    port = _free_port()
    keep = ("--appendonly", "yes", "--appendfsync", "always") if durable else ("--appendonly", "no")
    with _directory("redis") as directory:
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--save", "", *keep]
        with _process(command, directory=directory, user=_User.current(), stop_with=SIGTERM) as wait_until:
            wait_until(lambda: _answers_ping(port))
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The DSN of an empty database of a PostgreSQL with its default settings, thus with fsync. It refuses to run as
    root, so for root it runs as `postgres`.
    """
    programs = _postgres_programs()
    port = _free_port()
    user = _User.unprivileged()
    with _directory("postgres") as directory:
        if user.uid is not None:
            os.chown(directory, user.uid, -1)
        data = directory / "data"
        _run(
            [str(programs / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "-E", "UTF8", "--locale=C"],
            directory=directory,
            user=user,
        )
        command = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        is_ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        with _process(command, directory=directory, user=user, stop_with=SIGINT) as wait_until:
            wait_until(lambda: subprocess.run(is_ready, check=False).returncode == 0)
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"


@dataclass(frozen=True, slots=True)
class _User:
    """Whom a server runs as; None is whoever runs this."""

    uid: int | None
    gid: int | None

    @classmethod
    def current(cls) -> _User:
        return cls(uid=None, gid=None)

    @classmethod
    def unprivileged(cls) -> _User:
        if os.geteuid() != 0:
            return cls.current()
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(uid=entry.pw_uid, gid=entry.pw_gid)
        raise ServerUnavailable("PostgreSQL does not run as root, and there is no user `postgres` to run it as")

    def popen(self, command: Sequence[str], *, directory: Path) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own, so that a Ctrl-C reaches it through us only."""
        with (directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
            )


@contextmanager
def _directory(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"promptforge-bench-{name}-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def _run(command: Sequence[str], *, directory: Path, user: _User) -> None:
    process = user.popen(command, directory=directory)
    try:
        code = process.wait(timeout=_START_SECONDS)
    finally:
        process.kill()
    if code != 0:
        raise ServerUnavailable(f"{command[0]} failed: {_end_of_log(directory)}")


@contextmanager
def _process(
    command: Sequence[str], *, directory: Path, user: _User, stop_with: Signals
) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Run a server for as long as the block lasts; gives a function that waits until the server is ready."""
    process = user.popen([*_ending_with_us(stop_with), *command], directory=directory)

    def wait_until(ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerUnavailable(f"{command[0]} did not start: {_end_of_log(directory)}")
            time.sleep(0.05)

    try:
        yield wait_until
    finally:
        process.send_signal(stop_with)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ending_with_us(signal: Signals) -> Sequence[str]:
    """What to put before a command whose process is to get the signal when this one is killed (its main thread, to be
    exact). Where there is no setpriv, a server outlives a benchmark that was killed.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal.name.removeprefix("SIG"), "--"] if setpriv else []


def _end_of_log(directory: Path) -> str:
    return (directory / "log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _postgres_programs() -> Path:
    """The directory that holds initdb and postgres: Debian keeps them off PATH, one directory for each version."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: [int(part) for part in path.parent.name.split(".") if part.isdigit()])
    found = shutil.which("initdb")
    if found is None:
        raise ServerUnavailable("PostgreSQL's server (initdb, postgres) is not installed")
    return Path(found).resolve().parent
