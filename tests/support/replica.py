"""A replica set of real mongods that a test may step down, kill and start again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from promptforge.core.mongo.mongod import find_mongod
from tests.support.running import PATIENCE_SECONDS, free_port

NAME = "chaos"


class ReplicaSet:
    """Made by `start`; `url` names every member."""

    def __init__(self, folder: Path, members: int) -> None:
        self._folder = folder
        self._ports = [free_port() for _ in range(members)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @classmethod
    def start(cls, folder: Path, members: int = 3) -> ReplicaSet:
        """Ready when there is a primary and everybody else is a secondary."""
        found = cls(folder, members)
        try:
            for index in range(members):
                found.restart(index)
            found._initiate()
        except BaseException:
            found.stop()
            raise
        return found

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"mongodb://{hosts}/?replicaSet={NAME}"

    def restart(self, index: int) -> None:
        directory = self._folder / f"member{index}"
        directory.mkdir(parents=True, exist_ok=True)
        self._processes[index] = subprocess.Popen(
            [
                str(find_mongod()),
                *("--dbpath", str(directory), "--port", str(self._ports[index]), "--bind_ip", "127.0.0.1"),
                *("--replSet", NAME, "--oplogSize", "200", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"),
                *("--logpath", str(directory / "mongod.log"), "--logappend"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._until(lambda: self._command(index, "ping") is not None, f"member {index} does not answer")

    def primary(self) -> int:
        """The index of the present primary; waits for one."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [index for index in self._processes if self._is(index, "isWritablePrimary")]
            return len(found) == 1

        self._until(look, "there is no primary")
        return found[0]

    def step_down(self, seconds: int = 10) -> None:
        """Make the primary step down, and wait until there is another one."""
        index = self.primary()
        self._command(index, {"replSetStepDown": seconds, "force": True})
        self._until(lambda: not self._is(index, "isWritablePrimary"), "it does not step down")
        self.primary()

    def kill(self, index: int) -> None:
        self._processes[index].kill()
        self._processes.pop(index).wait()

    def stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()  # the data is not needed any more
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _initiate(self) -> None:
        members = [{"_id": index, "host": f"127.0.0.1:{port}"} for index, port in enumerate(self._ports)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        self._command(0, {"replSetInitiate": {"_id": NAME, "members": members, "settings": settings}})
        self.primary()
        others = len(self._ports) - 1
        self._until(lambda: sum(self._is(i, "secondary") for i in self._processes) == others, "no secondaries")

    def _is(self, index: int, what: str) -> bool:
        hello = self._command(index, "hello")
        return bool(hello and hello.get(what))

    def _command(self, index: int, command: Any) -> dict[str, Any] | None:  # Any: a command's document or name
        url = f"mongodb://127.0.0.1:{self._ports[index]}/?directConnection=true"
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=500)
        with client, suppress(PyMongoError):
            return client.admin.command(command)
        return None

    def _until(self, look: Callable[[], bool], otherwise: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not look():
            if time.monotonic() > until:
                raise RuntimeError(f"{otherwise}: see the logs in {self._folder}")
            time.sleep(0.05)
