"""Declares the operations of the API: method, path, name, the parameters that are known, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptforge.deploy.sandbox.refusals import Object
from promptforge.deploy.sandbox.world import Call

Run = Callable[[Call], Object]
ALWAYS = frozenset({"expand"})
OF_LISTS = "limit starting_after ending_before created"


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is what faults are planned for, such as `refunds.create`."""

    method: str
    path: str
    name: str
    run: Run
    known: frozenset[str]


class Operations:
    """The operations of one room."""

    def __init__(self) -> None:
        self.declared: list[Operation] = []

    def _declare(self, method: str, path: str, name: str, known: str) -> Callable[[Run], Run]:
        def declare(run: Run) -> Run:
            operation = Operation(method, f"/v1{path}", name, run, ALWAYS | frozenset(known.split()))
            self.declared.append(operation)
            return run

        return declare

    def post(self, path: str, name: str, *, known: str = "") -> Callable[[Run], Run]:
        return self._declare("POST", path, name, known)

    def get(self, path: str, name: str, *, known: str = "") -> Callable[[Run], Run]:
        return self._declare("GET", path, name, known)

    def list(self, path: str, name: str, *, known: str = "") -> Callable[[Run], Run]:
        return self._declare("GET", path, name, f"{OF_LISTS} {known}")

    def delete(self, path: str, name: str, *, known: str = "") -> Callable[[Run], Run]:
        return self._declare("DELETE", path, name, known)
