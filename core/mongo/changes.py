"""The process's one change stream: it wakes workers, evicts caches and feeds event streams.

Each further stream costs throughput (9.2k jobs/s drained with none, 8.0k with one, 4.0k with eight), so there is one,
over the whole database, filtered to the collections somebody subscribed to. It resumes where it was after a failure;
where that is not possible, the subscribers for gaps are told that changes may have been missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio
import structlog
from bson import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.errors import translate

MAX_AWAIT_MS = 500
"""An empty batch comes at least this often where nothing happens: then all has been told."""
HEALTHY_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""While news keep coming, this often it is asked what has happened by now: a stream can be busy and far behind."""
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0
_OPERATIONS = ("insert", "update", "replace", "delete")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. Inserts and replacements carry the `document`; `updated` names the fields of an update."""

    collection: str
    operation: str
    document_id: Any  # Any: any BSON value can be an _id
    document: Mapping[str, Any] | None
    updated: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Look:
    """What the last that had happened was, at a moment of this process's clock."""

    at: float
    happened: Timestamp


Callback = Callable[[Change], None]


class ChangeFeed:
    """Subscribe first, then `run`. Callbacks are called on the event loop and must be quick."""

    def __init__(self, mongo: Mongo, *, rng: Random | None = None) -> None:
        self._mongo = mongo
        self._rng = rng or Random()  # noqa: S311  # jitter only
        self._subscribers: dict[str, list[Callback]] = {}
        self._only: dict[str, Mapping[str, Any]] = {}
        self._gap_subscribers: list[Callable[[], None]] = []
        self._resume_token: Mapping[str, Any] | None = None
        self._last_batch = float("-inf")
        self._looked: _Look | None = None
        self._told_at = float("-inf")
        self.started = anyio.Event()
        """Set once the stream is open: what is committed after that will be seen."""

    def subscribe(self, collection: str, callback: Callback, *, only: Mapping[str, Any] | None = None) -> None:
        """Call `callback` for every change of `collection`. Only before `run`.

        `only` is a filter on the change event that the server applies; with it the collection has one subscriber.
        """
        if collection in self._subscribers and (only is not None or collection in self._only):
            raise RuntimeError(f"{collection} has a filtered subscriber, who is the only one")
        self._subscribers.setdefault(collection, []).append(callback)
        if only is not None:
            self._only[collection] = only

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever changes may have been missed: also when the stream opens anew, at the start too."""
        self._gap_subscribers.append(callback)

    def untold_seconds(self) -> float:
        """How old what has not been told may be; infinite before the first batch.

        After a silence, and where telling takes long, it goes on growing until what happened meanwhile has been told.
        """
        return time.monotonic() - self._told_at

    @property
    def healthy(self) -> bool:
        """Changes are heard of soon after they were made: caches may be trusted."""
        return self.untold_seconds() < HEALTHY_SECONDS

    async def run(self) -> None:
        """Follow the stream for ever, reconnecting with backoff and jitter."""
        failures = 0
        while True:
            before = self._last_batch
            try:
                await self._follow()
            except PyMongoError as error:
                if isinstance(error, OperationFailure) and translate(error) is None:
                    self._forget(error.code)  # no outage: history lost, or a token the server cannot read
                failures = 1 if self._last_batch > before else failures + 1
                longest = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 10), LONGEST_BACKOFF_SECONDS)
                log.warning("changes.interrupted", error=type(error).__name__, failures=failures)
                await anyio.sleep(longest * self._rng.uniform(0.5, 1.0))

    async def _follow(self) -> None:
        match = {
            "operationType": {"$in": list(_OPERATIONS)},
            "$or": [
                {"ns.coll": {"$in": sorted(self._subscribers.keys() - self._only.keys())}},
                *({"ns.coll": name, **only} for name, only in self._only.items()),
            ],
        }
        stream = self._mongo.raw.watch(
            [{"$match": match}], resume_after=self._resume_token, max_await_time_ms=MAX_AWAIT_MS
        )
        from_here = self._resume_token is None
        async with stream:
            while True:
                change = await stream.try_next()
                if from_here:  # what was committed before it was open has been told to nobody
                    from_here = False
                    self._tell_gap()
                self._last_batch = time.monotonic()
                if not self.started.is_set():
                    self.started.set()
                if change is None:
                    self._told_at, self._looked = self._last_batch, None
                else:
                    self._deliver(change)
                self._resume_token = stream.resume_token
                if change is not None:
                    await self._look(change["clusterTime"])

    async def _look(self, told: Timestamp) -> None:
        """Find out whether what had happened some time ago has been told by now."""
        if self._looked is None and self.untold_seconds() >= LOOK_SECONDS:
            now = time.monotonic()
            self._looked = _Look(now, (await self._mongo.raw.command("ping"))["operationTime"])
        if self._looked is not None and told >= self._looked.happened:
            self._told_at, self._looked = self._looked.at, None

    def _deliver(self, raw: Mapping[str, Any]) -> None:
        updated = raw.get("updateDescription", {})
        shortened = (one["field"] for one in updated.get("truncatedArrays", ()))
        change = Change(
            collection=raw["ns"]["coll"],
            operation=raw["operationType"],
            document_id=raw["documentKey"]["_id"],
            document=raw.get("fullDocument"),
            updated=frozenset((*updated.get("updatedFields", ()), *updated.get("removedFields", ()), *shortened)),
        )
        for callback in self._subscribers.get(change.collection, ()):
            self._call(callback, change)

    def _call(self, callback: Callback, change: Change) -> None:
        try:
            callback(change)
        except Exception:  # one subscriber's mistake must not end the feed for all
            log.exception("changes.callback_failed", collection=change.collection)

    def _forget(self, code: int | None) -> None:
        log.error("changes.gap", code=code)
        self._resume_token = None
        self._tell_gap()

    def _tell_gap(self) -> None:
        for callback in self._gap_subscribers:
            try:
                callback()
            except Exception:  # as above
                log.exception("changes.gap_callback_failed")
