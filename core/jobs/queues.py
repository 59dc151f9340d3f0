"""Queues: declared in code, changed live by operators. The process that is told of a change knows of it at once, the
others within the change stream's delay. The next claim goes by it: what a process has claimed, or is claiming at that
moment, it carries out, of a paused queue too.

A queue's document holds only what an operator changed, and the tokens of its limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from promptforge.core.errors import NotFound
from promptforge.core.jobs.documents import QUEUES
from promptforge.core.jobs.outcomes import UnknownQueue
from promptforge.core.mongo import Mongo, Session

MAX_CONCURRENCY = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` jobs started per `seconds`, over all processes (a token bucket that holds `count`)."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Queue:
    """`concurrency` is per process, `global_limit` over all of them.

    `fair`: owners with work waiting take turns, whoever enqueued more. Limits and fairness cost their queue some of
    its speed, and the others nothing.
    """

    name: str
    concurrency: int = 32
    global_limit: int | None = None
    rate: Rate | None = None
    fair: bool = False
    paused: bool = False

    @property
    def limited(self) -> bool:
        return self.global_limit is not None or self.rate is not None


_UNSET: Any = object()


class QueueRegistry:
    """The queues as they are now. `fair` is fixed in code, because the job documents carry it."""

    def __init__(self, mongo: Mongo, declared: Iterable[Queue]) -> None:
        self._documents = mongo.collection(QUEUES)
        self._declared = {queue.name: queue for queue in (Queue("default"), *declared)}
        self._current = dict(self._declared)
        self._begun = self._read = 0
        self.on_refreshed: Callable[[], None] = _nobody

    def declare_plain(self, names: Iterable[str]) -> None:
        """Declare queues that a message's policy names and nobody described."""
        for name in names:
            if name not in self._declared:
                self._declared[name] = self._current[name] = Queue(name)

    def __getitem__(self, name: str) -> Queue:
        queue = self._current.get(name)
        if queue is None:
            raise UnknownQueue(f"There is no queue {name}: declare it where the process is put together")
        return queue

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._current)

    def all(self) -> tuple[Queue, ...]:
        return tuple(self._current.values())

    async def refresh(self) -> None:
        """Read what operators changed."""
        self._begun += 1
        number = self._begun
        rows = {row["_id"]: row for row in await self._documents.find({}).to_list(None)}
        if number < self._read:  # it was slow, and would undo what was read since
            return
        self._read = number
        self._current = {name: _merged(queue, rows.get(name, {})) for name, queue in self._declared.items()}
        self.on_refreshed()

    async def change(
        self,
        name: str,
        now: datetime,
        *,
        paused: bool | None = None,
        concurrency: int | None = None,
        global_limit: int | None = _UNSET,
        rate: Rate | None = _UNSET,
        session: Session | None = None,
    ) -> Queue:
        """Change a queue for all processes; what is not given stays; answers what it was. Raises `NotFound`.

        In a transaction this process knows of it after its next `refresh`.
        """
        if name not in self._declared:
            raise NotFound(f"There is no queue {name}")
        fields: dict[str, Any] = {"changed_at": now}
        if paused is not None:
            fields["paused"] = paused
        if concurrency is not None:
            fields["concurrency"] = concurrency
        if global_limit is not _UNSET:
            fields["global_limit"] = global_limit
        if rate is not _UNSET:
            fields["rate"] = None if rate is None else {"count": rate.count, "seconds": rate.seconds}
        row = await self._documents.find_one({"_id": name}, session=session)
        await self._documents.update_one({"_id": name}, {"$set": fields}, upsert=True, session=session)
        if session is None:
            await self.refresh()
        return _merged(self._declared[name], row or {})


def _nobody() -> None: ...


def _merged(queue: Queue, row: Mapping[str, Any]) -> Queue:
    changes = {field: row[field] for field in ("paused", "concurrency", "global_limit") if field in row}
    if "rate" in row:
        changes["rate"] = None if row["rate"] is None else Rate(**row["rate"])
    return replace(queue, **changes)
