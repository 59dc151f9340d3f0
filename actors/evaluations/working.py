"""All items of an evaluation, several at once, from wherever an earlier process left off."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import count

import anyio

from promptforge.actors.datasets.messages import ItemView, ReadItems
from promptforge.actors.evaluations.items import PROVIDERS_OWN, Items
from promptforge.actors.evaluations.messages import EvaluationFailure
from promptforge.actors.users.messages import GetContact
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError

CONCURRENCY = 8
WATCH_SECONDS = 0.5
"""How soon it is noticed that somebody cancelled."""
LOOK_EVERY = 20
"""So many times later it is noticed that whoever started it may not have it run any more."""
FAILURES_IN_A_ROW = 20
"""With so many the model is taken to be away: the rest would fail as well."""

SUSPENDED = EvaluationFailure("account_suspended", "Whoever started it may not have it run any more")


@dataclass(slots=True)
class Work:
    """One attempt at what an evaluation has left to do.

    `failure`: why it ends here; `error`: why this attempt does, and the next one may do better.
    """

    items: Items
    context: Context
    done: set[str]
    failure: EvaluationFailure | None = None
    error: PromptForgeError | None = None
    cancelled: bool = False
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _taking: anyio.Lock = field(default_factory=anyio.Lock)
    _given_back: deque[ItemView] = field(default_factory=deque)
    _workers: int = CONCURRENCY
    _in_a_row: int = 0

    async def carry_out(self) -> None:
        """Returns when nothing is left to do, or nothing can be; see the fields."""
        source = self._left()
        try:
            with self._scope:
                async with anyio.create_task_group() as watching:
                    watching.start_soon(self._watch)
                    await self._work_all(source)
                    watching.cancel_scope.cancel()
        finally:
            await source.aclose()

    async def _work_all(self, source: AsyncGenerator[ItemView, None]) -> None:
        async with anyio.create_task_group() as workers:
            for _ in range(CONCURRENCY):
                workers.start_soon(self._worker, source)

    async def _left(self) -> AsyncGenerator[ItemView, None]:
        evaluation, after = self.items.evaluation, ""
        while page := await self.context.ask(
            ReadItems(dataset_id=evaluation.dataset_id, revision=evaluation.dataset_revision, after=after)
        ):
            for item in page:
                if item.id not in self.done:
                    yield item
            after = page[-1].id

    async def _watch(self) -> None:
        for times in count(1):
            await anyio.sleep(WATCH_SECONDS)
            try:
                if times % LOOK_EVERY == 0 and await self._is_stopped():
                    self._fail(SUSPENDED)
                    return
                under_way = await self.items.store.is_under_way(self.items.evaluation.id)
            except PromptForgeError as error:
                self._stop(error)
                return
            if not under_way:
                self.cancelled = True
                self._scope.cancel()
                return

    async def _is_stopped(self) -> bool:
        """Whether the account of whoever started it was suspended or closed since."""
        contact = await self.context.ask(GetContact(user_id=self.context.user_id))
        return contact is None or contact.suspended

    async def _worker(self, source: AsyncGenerator[ItemView, None]) -> None:
        item: ItemView | None = None
        try:
            while (item := await self._take(source)) is not None:
                result = await self.items.work(item, self.context)
                self._count(item, None if result is None else result.error_code)
        except PromptForgeError as error:
            if error.code == "insufficient_credits" and item is not None and self._workers > 1:
                # The others' reservations may be what is missing: they go on, and take this one when they are done.
                self._given_back.append(item)
                self._workers -= 1
            else:
                self._stop(error)

    async def _take(self, source: AsyncGenerator[ItemView, None]) -> ItemView | None:
        async with self._taking:
            if self._given_back:
                return self._given_back.popleft()
            item = await anext(source, None)
        if item is None and self._given_back:  # meanwhile
            return self._given_back.popleft()
        if item is None:
            self._workers -= 1
        return item

    def _count(self, item: ItemView, error_code: str | None) -> None:
        self.done.add(item.id)
        total = self.items.evaluation.items_total
        self.context.report_progress(100 * len(self.done) / total, f"{len(self.done):,} of {total:,}")
        self._in_a_row = self._in_a_row + 1 if error_code in PROVIDERS_OWN else 0
        if self._in_a_row == FAILURES_IN_A_ROW and error_code is not None:
            self._fail(EvaluationFailure(error_code, f"The model failed on {FAILURES_IN_A_ROW} items in a row"))

    def _stop(self, error: PromptForgeError) -> None:
        if not error.retryable:
            self._fail(EvaluationFailure(error.code, error.detail))
        else:
            self.error = self.error or error
            self._scope.cancel()

    def _fail(self, failure: EvaluationFailure) -> None:
        self.failure = self.failure or failure
        self._scope.cancel()
