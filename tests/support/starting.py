"""Processes of `promptforge`: started as users start them, or forked from one that has imported the product.

Imports, and what is compiled of the routes, are most of what a start costs. `python -m tests.support.starting 3` has
done with them, and forks itself whenever its socket (here number 3) asks for it. A child has its own environment,
arguments and files, runs the command line and ends as any other process; what it shares with its siblings is the seed
of hashes, which is drawn as an interpreter starts. Tests fork, inside `forking()`; benchmarks, and tests of whole lives
and of several processes (`as_users_do`), do not.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

_COMMAND = [sys.executable, "-m", "promptforge.deploy"]


class Process(Protocol):
    """What `subprocess.Popen` tells of a process that has been started, and does to it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Files:
    """Numbers of open files; without `stdout`, nobody reads it."""

    stderr: int
    stdout: int | None = None


def start(arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> Process:
    """`promptforge` with these arguments; forked inside `forking()`."""
    if parent := _parents[-1]:
        return parent.fork(arguments, environment, files)
    return subprocess.Popen(
        [*_COMMAND, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=files.stdout or subprocess.DEVNULL,
        stderr=files.stderr,
    )


@contextmanager
def forking() -> Iterator[None]:
    """Meanwhile what is started is forked."""
    parent = _Parent()
    _parents.append(parent)
    try:
        yield
    finally:
        _parents.pop()
        parent.close()


@contextmanager
def as_users_do() -> Iterator[None]:
    """Meanwhile each process has an interpreter of its own, inside `forking()` too."""
    _parents.append(None)
    try:
        yield
    finally:
        _parents.pop()


class _Parent:
    """The process that is forked; it starts with the first of its children."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> Process:
        request = {"arguments": list(arguments), "environment": dict(environment)}
        pid = self.ask(request, [files.stderr, *([files.stdout] if files.stdout else [])])
        assert pid is not None
        return _Forked(self, pid)

    def ask(self, request: dict[str, Any], files: Sequence[int] = ()) -> int | None:  # Any: JSON
        with self._one_at_a_time:
            if self._socket is None:
                self._socket = self._started()
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            answer: int | None = json.loads(self._socket.recv(_MOST_BYTES))
            return answer

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.starting", str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
            )
        return ours

    def close(self) -> None:
        """What was forked and lives goes on."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait(30)


class _Forked:
    """A child of the process that was asked: that one alone can wait for it."""

    def __init__(self, parent: _Parent, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._parent.ask({"poll": self.pid})
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(_COMMAND, timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_MOST_BYTES = 100_000
_parents: list[_Parent | None] = [None]


def _serve(asked: socket.socket) -> bool:
    """Fork whenever it is asked for. True: this is a child; False: nobody asks any more."""
    while True:
        text, files, _, _ = socket.recv_fds(asked, _MOST_BYTES, 2)
        if not text:
            return False
        request = json.loads(text)
        if "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            asked.send(json.dumps(os.waitstatus_to_exitcode(status) if ended else None).encode())
            continue
        if not (pid := os.fork()):
            _become(request, files)
            return True
        for file in files:
            os.close(file)
        asked.send(json.dumps(pid).encode())


def _become(request: dict[str, Any], files: Sequence[int]) -> None:  # Any: JSON
    for number, file in zip((2, 1), files, strict=False):  # without a file, standard output goes nowhere
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]


def _compile_routes() -> None:
    app = importlib.import_module("promptforge.http.app")
    tables = importlib.import_module("promptforge.http.tables")
    app.described(tuple(tables.routes), importlib.metadata.version("promptforge"))


def main() -> None:
    cli = importlib.import_module("promptforge.deploy.cli")
    importlib.import_module("promptforge.deploy.serve")  # nearly all of the product
    _compile_routes()
    gc.collect()
    gc.freeze()  # what is not looked at is not copied
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        forked = _serve(asked)
    if forked:
        cli.main()


if __name__ == "__main__":
    main()
