"""Runs language models for whoever asks, and has everyone pay for what they took."""

from __future__ import annotations

from datetime import datetime

import anyio
import structlog

from promptforge.actors.ai.messages import (
    BeginRun,
    ListModels,
    ModelsView,
    ModelView,
    ReleaseRuns,
    ResolveModel,
    RunModel,
    RunResult,
    RunUsage,
    ScanUsage,
    SettleRun,
    StreamRun,
    SweepRuns,
    UsageRecord,
)
from promptforge.actors.ai.models.catalogue import Catalogue
from promptforge.actors.ai.models.runs import Order, Runs
from promptforge.actors.ai.models.store import RunStore
from promptforge.actors.users.messages import FindStoppedAccounts
from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY
from promptforge.core.pages import Scan
from promptforge.core.runtime import Actor, handles
from promptforge.core.streams import ReplyStream

LOOK_SECONDS = 10.0
"""How soon a run ends whose asker was suspended."""
log = structlog.get_logger(__name__)


class ModelsActor(Actor):
    """It has more workers than others: a model takes seconds, and the guards of the providers bound how many run."""

    name = "models"
    asks = ("billing", "users", "purchases")
    workers = 128

    def __init__(self, store: RunStore, catalogue: Catalogue, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._catalogue = catalogue
        self._runs = Runs(store, catalogue)
        self._store = store
        self._look_seconds = look_seconds

    async def run(self, context: Context) -> None:
        """Look, for as long as it lives, whether those whose runs are under way may still have them."""
        while True:
            await anyio.sleep(self._look_seconds)
            try:
                await self._stop_runs(context)
            except DATABASE_AWAY as error:
                log.warning("runs.not_looked_at", error=error.code)

    async def _stop_runs(self, context: Context) -> None:
        people = self._runs.under_way.people
        if people:
            stopped = await context.ask(FindStoppedAccounts(user_ids=people), timeout_seconds=self._look_seconds)
            number = self._runs.under_way.stop(stopped)
            if number:
                log.info("runs.stopped", count=number)

    async def stop(self) -> None:
        await self._catalogue.close()

    @handles(ListModels)
    async def list_models(self, message: ListModels, context: Context) -> ModelsView:
        return ModelsView(self._catalogue.views())

    @handles(ResolveModel, transactional=True)
    async def resolve_model(self, message: ResolveModel, context: Context) -> ModelView:
        name = self._catalogue.find(message.name).name
        return next(view for view in self._catalogue.views() if view.name == name)

    @handles(ScanUsage)
    async def scan_usage(self, message: ScanUsage, context: Context) -> Scan[UsageRecord]:
        after = None if message.after is None else datetime.fromisoformat(message.after)
        total = await self._store.count_usage(message.user_id) if after is None else None
        found = await self._store.scan_usage(message.user_id, after, message.limit)
        following = found[-1].timestamp.isoformat() if len(found) >= message.limit else None
        return Scan(tuple(found), following, total)

    @handles(RunModel)
    async def run_model(self, message: RunModel, context: Context) -> RunResult:
        return await ReplyStream(self._runs.carry_out(_order(message), context, whole=True)).whole()

    @handles(BeginRun, key="run_id", transactional=True)
    async def begin_run(self, message: BeginRun, context: Context) -> int:
        order = Order(
            message.purpose,
            message.messages,
            message.settings,
            message.prompt_id,
            message.prompt_version,
            run_id=message.run_id,
            budget=message.max_millicredits,
            share=message.share,
            trial_of=message.trial_of,
            purchase_id=message.purchase_id,
            for_platform=message.for_platform,
        )
        return await context.transaction(lambda tx: self._runs.begin(order, tx))

    @handles(StreamRun)
    async def stream_run(self, message: StreamRun, context: Context) -> ReplyStream[RunResult]:
        return ReplyStream(self._runs.carry_out(_order(message), context, whole=False))

    @handles(SettleRun, key="run_id", atomic=True)
    async def settle_run(self, message: SettleRun, context: Context) -> RunUsage:
        return await self._runs.settle(message, context)

    @handles(ReleaseRuns)
    async def release_runs(self, message: ReleaseRuns, context: Context) -> int:
        return await self._runs.release(message.prefix, context)

    @handles(SweepRuns)
    async def sweep_runs(self, message: SweepRuns, context: Context) -> int:
        return await self._runs.sweep(context)


def _order(message: RunModel | StreamRun) -> Order:
    return Order(
        message.purpose,
        message.messages,
        message.settings,
        message.prompt_id,
        message.prompt_version,
        run_id=message.run_id,
        settle=message.settle,
        budget=message.max_millicredits,
        for_platform=isinstance(message, RunModel) and message.for_platform,
    )
