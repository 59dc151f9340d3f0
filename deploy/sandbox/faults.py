"""Faults of the API, planned by whoever tests: the next calls of an operation fail, before or after their effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from promptforge.deploy.sandbox.refusals import Refused, lock_timeout, rate_limited, server_error

KINDS = ("rate_limit", "conflict", "server_error", "timeout", "disconnect")
REFUSALS: dict[str, Callable[[], Refused]] = {
    "conflict": lock_timeout,
    "rate_limit": rate_limited,
    "server_error": server_error,
}
MOST_PLANNED = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`operation` may have wildcards: `refunds.create`, `refunds.*`, `*`. `after`: once the effect has happened.

    A timeout answers `seconds` later, as if nothing had been; a disconnect hangs up instead of answering.
    """

    operation: str
    kind: str
    after: bool = False
    times: int = 1
    seconds: float = 60.0


class Faults:
    """What is planned, in order; each is used up by as many calls as it says."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    @property
    def planned(self) -> tuple[Fault, ...]:
        return tuple(self._planned)

    def plan(self, fault: Fault) -> None:
        """Past a bound the oldest is forgotten."""
        self._planned = [*self._planned, fault][-MOST_PLANNED:]

    def clear(self) -> None:
        self._planned.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault that this call has, which counts as used."""
        for number, fault in enumerate(self._planned):
            if fnmatchcase(operation, fault.operation):
                self._planned[number : number + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                return fault
        return None
