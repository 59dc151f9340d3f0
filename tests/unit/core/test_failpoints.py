"""Failpoints do nothing until one is armed, and then end the process at exactly the time that was said."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from promptforge.core import failpoints
from promptforge.core.errors import ConfigurationError


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def test_nothing_happens_where_none_is_armed() -> None:
    failpoints.arm(["elsewhere"])
    failpoints.reach("here")


@pytest.mark.parametrize(("point", "reached"), [("here", 1), ("here:0", 1), ("here:2", 3)])
def test_the_process_is_killed_where_it_was_said(point: str, reached: int) -> None:
    script = (
        "from promptforge.core import failpoints\n"
        f"failpoints.arm(['{point}'])\n"
        "for number in range(1, 9):\n"
        "    print(number, flush=True)\n"
        "    failpoints.reach('here')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split()[-1] == str(reached)


@pytest.mark.parametrize("point", ["", ":3", "here:often", "here:-1"])
def test_what_is_no_point_is_refused(point: str) -> None:
    with pytest.raises(ConfigurationError):
        failpoints.arm([point])
