"""A real mongod for development and small self-hosting: a replica set of one, on loopback, with its data kept.

Several processes share it: the first starts it, the others adopt it, the last one out stops it. Two file locks in the
data directory hold that together, and both vanish with their process: `start.lock` is held while starting and
stopping, `users.lock` is shared by everyone who uses the server. A kill -9 of us leaves mongod running, to be adopted;
a kill -9 of mongod is noticed by `watch`, which starts it again on the same port.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.to_thread
import structlog
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo.mongod import (
    SET_NAME,
    PortTaken,
    Running,
    find_mongod,
    free_port,
    running,
    spawn,
    why_it_ended,
)

USER = "promptforge"
START_SECONDS = 60.0
"""A start takes 1.5 s; 30 more where whoever took our old port accepts connections and never says a word."""
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
WATCH_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
PORTS_TRIED = 5
_AUTHENTICATION_FAILED = 18
_NOT_YET_INITIALIZED = 94
_USER_EXISTS = 51003

log = structlog.get_logger(__name__)


class EmbeddedMongod:
    """A running server and our share in it. Made by `start`; bound to no event loop."""

    def __init__(self, directory: Path, binary: Path | None, cache_gigabytes: float) -> None:
        self.directory = directory
        self._binary = binary
        self._cache_gigabytes = cache_gigabytes
        self._users: int | None = None
        self._child: int | None = None
        """The pid, where the server is our child and has to be reaped by us."""
        self._exit_status = 0
        self._running: Running | None = None
        self._up = False
        self.adopted = False

    @classmethod
    def start(cls, directory: Path, *, binary: Path | None = None, cache_gigabytes: float = 0.25) -> EmbeddedMongod:
        """Start the server, or adopt it where it runs; answers once there is a primary.

        Blocks for about 1.5 s, 5 on a first start. Raises `ConfigurationError`.
        """
        server = cls(directory, binary, cache_gigabytes)
        server._prepare()
        with server._lock():
            server._join()
            try:
                server._ensure()
            finally:
                if not server._up:
                    server._leave()
        return server

    @property
    def port(self) -> int:
        return self._now.port

    @property
    def pid(self) -> int:
        return self._now.pid

    @property
    def url(self) -> str:
        """With user name and password."""
        password = quote((self.directory / "password").read_text())
        return f"mongodb://{USER}:{password}@127.0.0.1:{self.port}/?replicaSet={SET_NAME}&authSource=admin"

    @property
    def _now(self) -> Running:
        if self._running is None:
            raise RuntimeError("the embedded mongod was not started")
        return self._running

    def stop(self) -> None:
        """Leave; where nobody else uses the server, shut it down cleanly. Idempotent."""
        if self._users is None:
            return
        with self._lock():
            self._leave()
            alone = os.open(self.directory / "users.lock", os.O_RDWR)
            try:
                fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # others use it; the last of them stops it
            else:
                self._shut_down()
            finally:
                os.close(alone)

    async def watch(self) -> None:
        """Start the server again whenever it dies, for ever."""
        failures = 0
        while True:
            await anyio.sleep(min(WATCH_SECONDS * 2.0**failures, LONGEST_BACKOFF_SECONDS))
            if self._alive():
                failures = 0
                continue
            log.error("mongod.died", pid=self.pid)
            try:
                await anyio.to_thread.run_sync(self._start_again)
            except (ConfigurationError, OSError) as error:
                failures += 1
                log.error("mongod.not_restarted", reason=str(error))  # noqa: TRY400  # expected, and said in a line
            else:
                log.warning("mongod.restarted", pid=self.pid)

    # Files and locks

    def _prepare(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.directory / "db").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the data directory {self.directory} cannot be used: {error.strerror}") from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time starts or stops; whoever dies lets go."""
        descriptor = os.open(self.directory / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            until = time.monotonic() + START_SECONDS + STOP_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise ConfigurationError(
                            f"another process has been starting or stopping {self.directory} for too long"
                        ) from None
                    time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _join(self) -> None:
        self._users = os.open(self.directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def _leave(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _secret(self, name: str, value: str) -> str:
        """A secret file made once; its content."""
        path = self.directory / name
        if not path.exists():
            scratch = path.with_suffix(".new")
            scratch.unlink(missing_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
            scratch.replace(path)
        return path.read_text()

    # The server

    def _alive(self) -> bool:
        self._reap()
        return self._now.alive

    def _reap(self) -> None:
        """A dead child stays a zombie until somebody asks for its status."""
        if self._child is None:
            return
        try:
            pid, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            self._child = None
            return
        if pid:
            self._child, self._exit_status = None, status

    def _start_again(self) -> None:
        with self._lock():
            if not self._alive():
                self._ensure()

    def _ensure(self, ports: int = PORTS_TRIED) -> None:
        """Have a server that runs, is initiated under its present port, and knows our user. Under the lock."""
        record = self.directory / "mongod.json"
        last = Running.read(record)
        self.adopted = last is not None and last.alive
        if last is None or not last.alive:
            last = self._spawn(record, last)
        self._running = last
        key = (self.directory / "key").read_text()
        address = f"mongodb://__system:{quote(key, safe='')}@127.0.0.1:{last.port}/?authSource=local"
        client: MongoClient[dict[str, Any]] = MongoClient(
            address, directConnection=True, serverSelectionTimeoutMS=500, connectTimeoutMS=500
        )
        try:
            self._bring_up(client, last)
        except PortTaken:
            if ports == 1:
                raise
        else:
            self._up = True
            return
        finally:
            client.close()
        self._ensure(ports - 1)

    def _spawn(self, record: Path, last: Running | None) -> Running:
        self._refuse_a_stranger(last)
        self._secret("key", secrets.token_hex(32))
        self._secret("password", secrets.token_urlsafe(24))
        port = free_port(last.port if last else None)
        self._child = spawn(find_mongod(self._binary), self.directory, port, self._cache_gigabytes)
        now = running(self._child, port)
        now.write(record)
        return now

    def _refuse_a_stranger(self, last: Running | None) -> None:
        """Mongod holds an flock on db/mongod.lock while it runs; ours may take a moment to die altogether."""
        path = self.directory / "db" / "mongod.lock"
        until = time.monotonic() + STOP_SECONDS
        while (holder := _holder(path)) is not None:
            if last is None or holder != str(last.pid) or time.monotonic() > until:
                raise ConfigurationError(
                    f"the data directory {self.directory} is held by a mongod that this service did not start "
                    f"(pid {holder or 'unknown'}): stop it, or choose another with --data-dir"
                )
            time.sleep(POLL_SECONDS)

    def _bring_up(self, client: MongoClient[dict[str, Any]], now: Running) -> None:
        """Initiate or reconfigure the set as needed, wait for the primary, and have our user."""
        until = time.monotonic() + START_SECONDS
        member = f"127.0.0.1:{now.port}"
        while True:
            if not self._alive():
                raise why_it_ended(self.directory, os.waitstatus_to_exitcode(self._exit_status))
            try:
                if self._is_primary(client, member):
                    self._have_user(client)
                    return
            except AutoReconnect as error:
                log.debug("mongod.not_yet", error=str(error))
            except OperationFailure as error:
                # Where our own was only just started, that is somebody else's on the same port: ours will end.
                if error.code == _AUTHENTICATION_FAILED and self._child is None:
                    raise ConfigurationError(
                        f"the mongod on port {now.port} does not know the key in {self.directory}"
                    ) from None
                log.debug("mongod.not_yet", error=str(error))
            if time.monotonic() > until:
                raise ConfigurationError(f"the embedded mongod has no primary: see {self.directory / 'mongod.log'}")
            time.sleep(POLL_SECONDS)

    def _is_primary(self, client: MongoClient[dict[str, Any]], member: str) -> bool:
        admin = client.admin
        hello = admin.command("hello")
        if hello.get("isWritablePrimary") and hello.get("me") == member:
            return True
        try:
            config = admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                members = [{"_id": 0, "host": member}]
                admin.command("replSetInitiate", {"_id": SET_NAME, "members": members})
                return False
            raise
        if config["members"][0]["host"] != member:  # the port is not the one it was configured with
            config["members"][0]["host"] = member
            config["version"] += 1
            admin.command("replSetReconfig", config, force=True)
        return False

    def _have_user(self, client: MongoClient[dict[str, Any]]) -> None:
        password = self._secret("password", secrets.token_urlsafe(24))
        try:
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code != _USER_EXISTS:
                raise

    def _shut_down(self) -> None:
        now = self._now
        if self._alive():
            key = quote((self.directory / "key").read_text(), safe="")
            address = f"mongodb://__system:{key}@127.0.0.1:{now.port}/?authSource=local"
            client: MongoClient[dict[str, Any]] = MongoClient(
                address, directConnection=True, serverSelectionTimeoutMS=2000
            )
            with suppress(PyMongoError):  # it hangs up instead of answering
                client.admin.command("shutdown", force=True, timeoutSecs=0)
            client.close()
        until = time.monotonic() + STOP_SECONDS
        while self._alive() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if self._alive():
            log.error("mongod.did_not_stop", pid=now.pid)


def _holder(path: Path) -> str | None:
    """The pid in a mongod.lock that somebody holds (empty where it is not said); None where nobody does."""
    try:
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return file.read().strip()
            return None
    except FileNotFoundError:
        return None


async def start_embedded(
    directory: Path, *, binary: Path | None = None, cache_gigabytes: float = 0.25
) -> EmbeddedMongod:
    """`EmbeddedMongod.start` beside the event loop."""
    return await anyio.to_thread.run_sync(
        lambda: EmbeddedMongod.start(directory, binary=binary, cache_gigabytes=cache_gigabytes)
    )
