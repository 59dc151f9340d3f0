"""Messages become job documents: one by one, many at once, unique, after others, or already claimed by this process.

Callers outside a transaction that enqueue at the same moment share one insert. Where this process has a free slot and
nothing waits before it, the job is inserted as already claimed, which saves the claim's two round trips.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Protocol

import anyio

from promptforge.core.context import Context, JobOptions
from promptforge.core.errors import Conflict, MailboxFull, NotFound, OutcomeUnknown, PromptForgeError, Unavailable
from promptforge.core.ids import new_id, new_ids
from promptforge.core.jobs.codec import Codec
from promptforge.core.jobs.documents import BATCHES, JOBS, KEEP_BATCH, Job, expiry, job_from, lane_of
from promptforge.core.jobs.outcomes import PartlyEnqueued
from promptforge.core.jobs.policy import LEAST_PRIORITY, MAX_ATTEMPTS, MOST_PRIORITY, JobPolicy, Unique, policy_of
from promptforge.core.jobs.queues import QueueRegistry
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.states import JobState
from promptforge.core.messages import Message
from promptforge.core.mongo import Document, DuplicateKey, Mongo, Session

CHUNK = 1000
CHUNKS_UNDER_WAY = 2
MAX_WAITING_CALLERS = 10_000
MAX_BATCH_JOBS = 10_000
"""All or nothing is one transaction, and a transaction of many megabytes fails on a small cache."""
UNIQUE_TRIES = 20

_AVAILABLE, _RUNNING, _WAITING = JobState.AVAILABLE.value, JobState.RUNNING.value, JobState.WAITING.value


class LocalWorker(Protocol):
    """This process's runner, as the enqueuer sees it."""

    @property
    def process(self) -> str:
        """Under which id this process claims at the moment."""
        ...

    def wake(self, queue: str) -> None:
        """A job of `queue` may be due."""
        ...

    def wake_all(self) -> None:
        """A job of whatever queue may be due."""
        ...

    def has_room(self, queue: str) -> bool:
        """A job of `queue` could start at once: a slot is free, and nothing waits before it."""
        ...

    def reserve(self, queue: str, number: int) -> None:
        """Hold slots (less than none with a negative number) for jobs that are being inserted as claimed."""
        ...

    def expect(self, claim: str) -> None:
        """Jobs with this claim may turn up; they are no leftovers."""
        ...

    def adopt(self, jobs: Sequence[Job]) -> None:
        """Run these jobs, which are stored as claimed by this process."""
        ...


class NoWorker:
    """A process that runs no jobs."""

    process = ""

    def wake(self, queue: str) -> None:
        """Nobody here to be woken."""

    def wake_all(self) -> None:
        """Nobody here to be woken."""

    def has_room(self, queue: str) -> bool:
        return False

    def reserve(self, queue: str, number: int) -> None:
        """There are no slots."""

    def expect(self, claim: str) -> None:
        """Nothing is ever claimed."""

    def adopt(self, jobs: Sequence[Job]) -> None:
        raise RuntimeError("nothing was reserved")


class _Caller:
    """One waiting call of `enqueue`. `leads`: it was woken to do the next insert, not because it is done."""

    __slots__ = ("document", "done", "error", "leads")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.done = anyio.Event()
        self.error: PromptForgeError | None = None
        self.leads = False


class Enqueuer:
    """See the module."""

    def __init__(self, mongo: Mongo, codec: Codec, queues: QueueRegistry, clock: ServerClock) -> None:
        self.worker: LocalWorker = NoWorker()
        self._jobs = mongo.collection(JOBS)
        self._batches = mongo.collection(BATCHES)
        self._codec = codec
        self._queues = queues
        self._clock = clock
        self._callers: deque[_Caller] = deque()
        self._inserting = False

    async def one(self, message: Message[Any], context: Context, options: JobOptions) -> str:
        """See `Context.enqueue`. Majority-durable when it returns, or with the caller's transaction."""
        after = options.get("after", ())
        if "unique" in options and "job_id" in options:
            raise TypeError("a job has a unique key or an id of the caller's, not both")
        if after and context.session is None:
            return await context.transaction(lambda tx: self.one(message, tx, options))
        document = self._document(message, context, options)
        if after:
            await self._wait_for(document, after, context.session)
        unique = options.get("unique")
        if unique is not None:
            unique = Unique(unique) if isinstance(unique, str) else unique
            return await self._insert_unique(document, unique, context)
        if "job_id" in options:
            document["wake"] = True
            await self._jobs.insert_one(document, session=context.session)
            context.after_commit(lambda: self.worker.wake(document["queue"]))
        elif context.session is None:
            await self._insert_with_others(document)
        else:
            await self._insert_in_transaction(document, context)
        identifier: str = document["_id"]
        return identifier

    async def many(self, messages: Iterable[Message[Any]], context: Context, options: JobOptions) -> list[str]:
        """See `Context.enqueue_many`."""
        _only_plain(options)
        ids: list[str] = []
        remaining = iter(messages)
        if context.session is not None:
            while documents := self._chunk(remaining, context, options):
                await self._jobs.insert_many(documents, ordered=False, session=context.session)
                ids += [document["_id"] for document in documents]
                context.after_commit(partial(self._wake_for, documents))
            return ids
        stored: list[int] = []
        under_way = anyio.Semaphore(CHUNKS_UNDER_WAY)
        try:
            async with anyio.create_task_group() as tasks:
                while documents := self._chunk(remaining, context, options):
                    ids += [document["_id"] for document in documents]
                    await under_way.acquire()  # the next chunk is made while one is being inserted
                    tasks.start_soon(self._insert_chunk, documents, stored, under_way)
        except* Unavailable as errors:
            raise PartlyEnqueued(sum(stored)) from errors
        return ids

    def _chunk(self, messages: Iterator[Message[Any]], context: Context, options: JobOptions) -> list[Document]:
        documents = self._documents(list(islice(messages, CHUNK)), context, options)
        _ring_once(documents)
        return documents

    async def _insert_chunk(self, documents: list[Document], stored: list[int], under_way: anyio.Semaphore) -> None:
        try:
            await self._jobs.insert_many(documents, ordered=False)
        finally:
            under_way.release()
        stored.append(len(documents))
        self._wake_for(documents)

    async def batch(
        self, messages: Sequence[Message[Any]], context: Context, callback: Message[Any] | None, options: JobOptions
    ) -> str:
        """See `Context.enqueue_batch`."""
        _only_plain(options)
        if len(messages) > MAX_BATCH_JOBS:
            raise TypeError(f"a batch has at most {MAX_BATCH_JOBS} jobs: split it")
        if context.session is None:
            return await context.transaction(lambda tx: self.batch(messages, tx, callback, options))
        batch_id = new_id("bat")
        documents = self._documents(messages, context, options)
        for document in documents:
            document["batch_id"] = document["batch_live"] = batch_id
        _ring_once(documents)
        now = self._clock.now()
        record: Document = {"_id": batch_id, "state": "open", "total": len(documents), "created_at": now}
        if context.principal is not None:
            record["owner_id"] = context.principal.user_id
        if callback is not None:
            record["callback"] = self._document(callback, context, _callback_options(options))
        if not documents:  # nobody will end a job of it, so it is over now
            record.update(state="done", finished_at=now, **expiry(now, KEEP_BATCH))
            if callback is not None:
                fresh = {"wake": True, "callback_of": batch_id}
                await self._jobs.insert_one({**record.pop("callback"), **fresh}, session=context.session)
                context.after_commit(self.worker.wake_all)
        await self._batches.insert_one(record, session=context.session)
        for start in range(0, len(documents), CHUNK):
            await self._jobs.insert_many(documents[start : start + CHUNK], session=context.session)
        context.after_commit(lambda: self._wake_for(documents))
        return batch_id

    # Documents

    def _documents(self, messages: Sequence[Message[Any]], context: Context, options: JobOptions) -> list[Document]:
        """What the jobs of one kind have in common is made once."""
        templates: dict[type[Message[Any]], Document] = {}
        documents = []
        for message, job_id in zip(messages, new_ids("job", len(messages)), strict=True):
            template = templates.get(type(message))
            if template is None:
                template = templates[type(message)] = self._document(message, context, options)
            documents.append({**template, "_id": job_id, "payload": self._codec.encode(message)})
        return documents

    def _document(self, message: Message[Any], context: Context, options: JobOptions) -> Document:
        policy = policy_of(type(message))
        queue = self._queues[options.get("queue", policy.queue)]
        now = self._clock.now()
        principal_id = context.principal.user_id if context.principal else None
        owner_id = options.get("owner_id", principal_id)
        run_at = options.get("run_at") or now + timedelta(seconds=options.get("delay_seconds", 0.0))
        document: Document = {
            "_id": options.get("job_id") or new_id("job"),
            "queue": queue.name,
            "lane": lane_of(queue.name, queue.fair, owner_id),
            "kind": message.message_kind,
            "version": message.message_version,
            "state": _AVAILABLE,
            "priority": _priority(options, policy),
            "run_at": run_at,
            "due_at": run_at,
            "attempt": 0,
            "max_attempts": _attempts(options, policy),
            "payload": self._codec.encode(message),
            "request_id": context.request_id,
            "trace_id": context.trace_id,
            "created_at": now,
        }
        if principal_id is not None:
            document["principal_id"] = principal_id
        if owner_id is not None:
            document["owner_id"] = owner_id
        return document

    async def _wait_for(self, document: Document, after: Sequence[str], session: Session | None) -> None:
        """Let the job wait for those that have not completed; they learn that somebody waits.

        The write to the others is what makes a completion at the same moment conflict with this transaction.
        """
        others = {"_id": {"$in": list(after)}, "state": {"$ne": JobState.COMPLETED.value}}
        await self._jobs.update_many(others, {"$set": {"has_dependents": True}}, session=session)
        rows = await self._jobs.find({"_id": {"$in": list(after)}}, {"state": 1}, session=session).to_list(len(after))
        if len(rows) < len(set(after)):
            raise NotFound("A job to wait for does not exist (any more)")
        if any(row["state"] == JobState.CANCELLED.value for row in rows):
            raise Conflict("A job to wait for was cancelled")
        unfinished = [row["_id"] for row in rows if row["state"] != JobState.COMPLETED.value]
        if unfinished:
            document["state"] = _WAITING
            del document["due_at"]
            document["waits_for"] = unfinished

    # Inserting

    async def _insert_unique(self, document: Document, unique: Unique, context: Context) -> str:
        """An upsert, so that a collision does not abort the caller's transaction."""
        session, states = context.session, [state.value for state in unique.states]
        document["unique_key"] = unique.key
        wanted = {"unique_key": unique.key}
        fields = {key: value for key, value in document.items() if key != "unique_key"}
        if document["state"] == _AVAILABLE:
            fields["wake"] = True
        for _ in range(UNIQUE_TRIES):
            try:
                row = await self._jobs.find_one_and_upsert(
                    wanted, {"$setOnInsert": fields}, projection={"state": 1, "created_at": 1}, session=session
                )
            except DuplicateKey:
                if session is not None:
                    raise
                continue  # two upserts raced outside a transaction: the other's job is there to be found now
            identifier: str = row["_id"]
            if identifier == document["_id"]:
                context.after_commit(lambda: self.worker.wake(document["queue"]))
                return identifier
            if row["state"] in states and not _elapsed(row["created_at"], unique.period_seconds, self._clock.now()):
                return identifier
            outdated = {"_id": identifier, "state": row["state"], **wanted}
            await self._jobs.update_one(outdated, {"$unset": {"unique_key": ""}}, session=session)
        raise MailboxFull("Too many enqueue the same job at once; try again shortly")

    async def _insert_in_transaction(self, document: Document, context: Context) -> None:
        if _due(document) and self.worker.has_room(document["queue"]):
            queue = document["queue"]
            self.worker.reserve(queue, 1)
            context.after_attempt(lambda: self.worker.reserve(queue, -1))
            job = self._claim(document, secrets.token_hex(8))
            await self._jobs.insert_one(document, session=context.session)
            context.after_commit(lambda: self.worker.adopt([job]))
            return
        document["wake"] = True
        await self._jobs.insert_one(document, session=context.session)
        context.after_commit(lambda: self.worker.wake(document["queue"]))

    async def _insert_with_others(self, document: Document) -> None:
        """While one insert is under way the others gather; whoever is first in the queue does the next one."""
        if len(self._callers) >= MAX_WAITING_CALLERS:
            raise MailboxFull("Too many jobs are being stored already; try again shortly")
        caller = _Caller(document)
        self._callers.append(caller)
        if self._inserting:
            await self._until_done_or_leading(caller)
            if not caller.leads:
                if caller.error is not None:
                    raise caller.error
                return
        self._inserting = True
        with anyio.CancelScope(shield=True):  # others' jobs are in it too
            await self._insert_gathered()
        if caller.error is not None:
            raise caller.error

    async def _until_done_or_leading(self, caller: _Caller) -> None:
        try:
            await caller.done.wait()
        except BaseException:
            if caller in self._callers:
                self._callers.remove(caller)
            if caller.leads:
                self._let_the_next_lead()
            raise

    async def _insert_gathered(self) -> None:
        callers = [self._callers.popleft() for _ in range(min(CHUNK, len(self._callers)))]
        documents = [caller.document for caller in callers]
        claimed = self._claim_some(documents)
        available = [document for document in documents if document["state"] == _AVAILABLE]
        _ring_once(available)
        error: PromptForgeError | None = OutcomeUnknown()
        try:
            await self._jobs.insert_many(documents, ordered=False)
            error = None
        except PromptForgeError as failure:
            error = failure
        finally:
            for job in claimed:
                self.worker.reserve(job.queue, -1)
            for caller in callers:
                caller.error = error
                caller.done.set()
            self._let_the_next_lead()
        if error is None:
            if claimed:
                self.worker.adopt(claimed)
            self._wake_for(available)

    def _let_the_next_lead(self) -> None:
        self._inserting = bool(self._callers)
        if self._callers:
            self._callers[0].leads = True
            self._callers[0].done.set()

    def _claim_some(self, documents: Sequence[Document]) -> list[Job]:
        """Mark those as claimed that this process can start at once."""
        claim = secrets.token_hex(8)
        claimed = []
        for document in documents:
            if _due(document) and self.worker.has_room(document["queue"]):
                self.worker.reserve(document["queue"], 1)
                claimed.append(self._claim(document, claim))
        return claimed

    def _claim(self, document: Document, claim: str) -> Job:
        self.worker.expect(claim)
        document["state"] = _RUNNING
        del document["due_at"]
        document["claim"] = claim
        document["process"] = self.worker.process
        document["attempt"] = 1
        document["started_at"] = document["created_at"]
        return job_from(document)

    def _wake_for(self, documents: Iterable[Document]) -> None:
        for queue in {document["queue"] for document in documents}:
            self.worker.wake(queue)


def _due(document: Document) -> bool:
    return bool(document["state"] == _AVAILABLE and document["run_at"] <= document["created_at"])


def _only_plain(options: JobOptions) -> None:
    if options.keys() & {"unique", "after", "job_id"}:
        raise TypeError("jobs that are unique, wait for others or have a given id are enqueued one by one")


def _attempts(options: JobOptions, policy: JobPolicy) -> int:
    attempts = options.get("max_attempts", policy.max_attempts)
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise TypeError(f"a job has from 1 to {MAX_ATTEMPTS} attempts")
    return attempts


def _priority(options: JobOptions, policy: JobPolicy) -> int:
    priority = options.get("priority", policy.priority)
    if not LEAST_PRIORITY <= priority <= MOST_PRIORITY:
        raise TypeError(f"a priority is from {LEAST_PRIORITY} to {MOST_PRIORITY}")
    return priority


def _elapsed(created_at: datetime, period_seconds: float | None, now: datetime) -> bool:
    return period_seconds is not None and now >= created_at + timedelta(seconds=period_seconds)


def _callback_options(options: JobOptions) -> JobOptions:
    kept: JobOptions = {}
    if "owner_id" in options:
        kept["owner_id"] = options["owner_id"]
    return kept


def _ring_once(documents: Sequence[Document]) -> None:
    """One job of each queue carries the bell that the other processes' change streams listen for."""
    rung: Counter[str] = Counter()
    for document in documents:
        if not rung[document["queue"]]:
            document["wake"] = True
        rung[document["queue"]] += 1
