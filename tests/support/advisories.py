"""`make check-audit`: asks PyPI which of the locked packages have known vulnerabilities, and fails where one has.

Where PyPI's advisories cannot be had, it says so and passes: what could not be asked is not a finding. pip-audit itself
calls such a run a success, so the answer is read here, package by package.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

LOCK = "requirements-dev.lock"
"""Holds what is installed in production too."""
_COMMAND = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "10")
MINUTES = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found` has a line for each vulnerability; `asked` of `packages` were looked up."""

    found: tuple[str, ...]
    asked: int
    packages: int


def judge(answer: str) -> Verdict:
    """What pip-audit's JSON says; where it printed none, nothing was asked."""
    try:
        dependencies = json.loads(answer)["dependencies"]
    except json.JSONDecodeError:
        return Verdict((), 0, 0)
    asked = [package for package in dependencies if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'none'}"
        for package in asked
        for flaw in package["vulns"]
    ]
    return Verdict(tuple(found), len(asked), len(dependencies))


def told(verdict: Verdict) -> Sequence[str]:
    """The lines to print."""
    if not verdict.asked:
        return ("skipped: PyPI's advisories cannot be reached from here",)
    return (*verdict.found, f"{verdict.asked} of {verdict.packages} packages asked about, {len(verdict.found)} found")


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", LOCK, *_COMMAND]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * MINUTES, check=False
        )
        verdict = judge(done.stdout)
    except subprocess.TimeoutExpired:
        verdict = Verdict((), 0, 0)
    sys.stdout.write("".join(f"{line}\n" for line in told(verdict)))
    return 1 if verdict.found else 0


if __name__ == "__main__":
    sys.exit(main())
