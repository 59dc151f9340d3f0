"""What a prompt with 10,000 versions costs to work with, beside one with ten: nobody should feel how old a prompt is.

The versions are really pushed, one by one over HTTP, so the numbers are also those of a push as the prompt grows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.table import Row, print_rows
from tests.support.running import Person, RunningService

MANY = 10_000
FEW = 10
TIMES = 60
LINES = 40


def _content(number: int) -> str:
    lines = [f"Line {line} of a prompt about {{{{topic}}}}." for line in range(LINES)]
    lines[number % LINES] = f"Version {number} says this."
    return "\n".join(lines)


def _grown(person: Person, name: str, versions: int) -> tuple[str, list[float]]:
    """The path of a prompt with so many versions, and what each push took, in milliseconds."""
    path = f"/prompts/{person.post('/prompts', {'name': name}, expect=201)['id']}"

    def push(number: int) -> object:
        return person.post(f"{path}/versions", {"content": _content(number)}, expect=201)

    took = [_milliseconds(push, number) for number in range(1, versions + 1)]
    assert person.get(path)["latest_version"] == versions, "no gap and no duplicate"
    person.call("PUT", f"{path}/labels/production", {"version": 1}, expect=200)
    return path, took


def _milliseconds(call: Callable[[int], object], number: int) -> float:
    began = time.perf_counter()
    call(number)
    return (time.perf_counter() - began) * 1000


def _deep(person: Person, path: str, versions: int) -> Callable[[], object]:
    """The page half-way down the list."""
    page = person.get(f"{path}/versions?limit=100" if versions > FEW else f"{path}/versions?limit=5")
    for _ in range(versions // 200 - 1):
        page = person.get(f"{path}/versions?limit=100&cursor={page['next']}")
    return lambda: person.get(f"{path}/versions?limit=5&cursor={page['next']}")


def _work(person: Person, path: str, versions: int) -> dict[str, Callable[[int], object]]:
    """What people do with a prompt; each takes the number of the round."""
    deep = _deep(person, path, versions)

    def move(round_number: int) -> object:
        return person.call("PUT", f"{path}/labels/staging", {"version": 1 + round_number % versions}, expect=200)

    return {
        "read the prompt": lambda _: person.get(path),
        "read the oldest version": lambda _: person.get(f"{path}/versions/1"),
        "list the newest five": lambda _: person.get(f"{path}/versions?limit=5"),
        "list five half-way down": lambda _: deep(),
        "compare first and last": lambda _: person.get(f"{path}/diff?from=1&to={versions}"),
        "push what is there already": lambda _: person.post(f"{path}/versions", {"content": _content(3)}),
        "push another": lambda number: person.post(
            f"{path}/versions", {"content": f"{_content(number)} Pushed to {versions}."}, expect=201
        ),
        "move a label": move,
        "compiled, after the move": lambda _: person.get(f"{path}/compiled?label=staging"),
    }


def run() -> None:
    """Print what each operation takes with many versions and with few."""
    with tempfile.TemporaryDirectory() as directory:
        service = RunningService(Path(directory))
        service.start()
        try:
            person = service.person("bench")
            few, _ = _grown(person, "Young", FEW)
            many, pushes = _grown(person, "Old", MANY)
            _print(person, few, many, pushes)
        finally:
            service.stop()


def _print(person: Person, few: str, many: str, pushes: list[float]) -> None:
    young, old = _work(person, few, FEW), _work(person, many, MANY)
    rows = []
    for name in young:
        calls = {f"{name} (10)": young[name], f"{name} (10,000)": old[name]}
        took: dict[str, list[float]] = {label: [] for label in calls}
        for number in range(TIMES):  # in turns, so that a noisy machine is noisy for both
            for label, call in calls.items():
                took[label].append(_milliseconds(call, number))
        rows.append(Row(f"{name} (10)", took[f"{name} (10)"], "ms"))
        rows.append(Row(f"{name} (10,000)", took[f"{name} (10,000)"], "ms", f"{name} (10)", "≤ 1.5 ×"))
    print_rows("A prompt with 10,000 versions beside one with ten", rows)
    print_rows(
        "A push while the prompt grows",
        [
            Row("the first 500", pushes[:500], "ms"),
            Row("the last 500", pushes[-500:], "ms", "the first 500"),
        ],
    )
