"""Evaluations whose job is cancelled by an operator, or dies: their state follows, and nothing stays reserved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.evaluations.messages import CancelEvaluation, EvaluationStatus, EvaluationView, SweepEvaluations
from promptforge.actors.evaluations.orphans import KEPT
from promptforge.actors.evaluations.store import EvaluationStore
from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.jobs import JobState
from promptforge.core.mongo import Mongo
from tests.integration.evaluations.studio import ADA, Studio, open_studio
from tests.integration.evaluations.test_interruptions import (
    assert_each_once,
    carry_out,
    done_at_least,
    lose_after,
    until,
)
from tests.support.models import ScriptedModel

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def swept(studio: Studio) -> int:
    return await studio.workshop.process.context().ask(SweepEvaluations())


async def job_state(studio: Studio, evaluation: EvaluationView) -> JobState:
    return (await studio.workshop.process.store.get(evaluation.job_id)).state


async def cancel_job(studio: Studio, evaluation: EvaluationView) -> None:
    """As an operator does."""
    await studio.workshop.process.store.console.cancel(evaluation.job_id)
    studio.workshop.process.runner.cancel(evaluation.job_id)  # as its process hears by the change stream


async def test_with_its_job_cancelled_before_it_began_it_is_cancelled(studio: Studio) -> None:
    started = await studio.started()
    assert await swept(studio) == 0
    await cancel_job(studio, started)
    assert await swept(studio) == 1
    view = await studio.view(started.id)
    assert (view.status, view.failure and view.failure.code) == (EvaluationStatus.CANCELLED, "job_cancelled")
    assert view.finished_at is not None
    assert view.summary is not None
    assert (view.summary.items, view.summary.pass_rate) == (0, None)
    assert await swept(studio) == 0
    assert studio.model.told == []


async def test_with_its_job_cancelled_in_the_middle_it_keeps_what_it_has_and_gives_back_what_it_holds(
    mongo: Mongo,
) -> None:
    async with open_studio(mongo, model=ScriptedModel(pause=0.05)) as studio:
        started = await studio.started(items=200)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(studio.workshop.process.runner.drain)
            await until(lambda: done_at_least(studio, started.id, 8))
            await cancel_job(studio, started)
        assert await job_state(studio, started) is JobState.CANCELLED
        assert await studio.workshop.open_runs() > 0
        assert (await studio.view(started.id)).status is EvaluationStatus.RUNNING
        assert await swept(studio) == 1
        view = await studio.view(started.id)
        assert (view.status, view.failure and view.failure.code) == (EvaluationStatus.CANCELLED, "job_cancelled")
        assert view.summary is not None
        assert 8 <= view.summary.items == view.items_done < 200
        await assert_each_once(studio, started.id, view.items_done)


async def test_with_its_job_dead_it_has_failed_and_gives_back_what_it_holds(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await studio.started(items=20)
    with monkeypatch.context() as patch:
        lose_after(patch, 5)
        with pytest.raises(BaseExceptionGroup):
            await carry_out(studio, started.id)
    assert await studio.workshop.open_runs() > 0
    gone = {"state": JobState.DEAD.value, "errors": [{"attempt": 20, "at": NOW, "error": "poison", "detail": ""}]}
    await studio.mongo.collection("jobs").update_one({"_id": started.job_id}, {"$set": gone, "$unset": {"due_at": ""}})
    assert await job_state(studio, started) is JobState.DEAD
    assert await swept(studio) == 1
    view = await studio.view(started.id)
    assert (view.status, view.failure and view.failure.code) == (EvaluationStatus.FAILED, "job_died")
    assert "poison" in (view.failure.detail if view.failure else "")
    assert view.summary is not None
    assert view.summary.items == view.items_done == 5
    await assert_each_once(studio, started.id, 5)


async def test_a_sweep_that_is_interrupted_is_gone_on_with(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    started = await studio.started()
    await cancel_job(studio, started)

    async def away(self: EvaluationStore, *given: object, **options: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(EvaluationStore, "keep_summary", away)
        with pytest.raises(DatabaseUnavailable):
            await swept(studio)
    assert (await studio.view(started.id)).status is EvaluationStatus.CANCELLED
    assert (await studio.view(started.id)).summary is None
    assert await swept(studio) == 1
    assert (await studio.view(started.id)).summary is not None


async def test_one_that_its_owner_cancelled_stays_so_and_is_summed_up(studio: Studio) -> None:
    started = await studio.started()
    await studio.ada.ask(CancelEvaluation(evaluation_id=started.id))
    await cancel_job(studio, started)  # before it could look
    assert await swept(studio) == 1
    view = await studio.view(started.id)
    assert (view.status, view.failure) == (EvaluationStatus.CANCELLED, None)
    assert view.summary is not None


async def test_a_job_that_is_not_kept_any_more_has_died_and_one_that_is_not_seen_yet_has_not(studio: Studio) -> None:
    started = await studio.started()
    await studio.mongo.collection("jobs").delete_one({"_id": started.job_id})
    assert await swept(studio) == 0
    studio.workshop.clock.advance(seconds=(KEPT + timedelta(seconds=1)).total_seconds())
    assert await swept(studio) == 1
    assert (await studio.view(started.id)).status is EvaluationStatus.FAILED


async def test_a_process_that_still_works_on_it_writes_nothing_more(mongo: Mongo) -> None:
    async with open_studio(mongo, model=ScriptedModel(pause=0.05)) as studio:
        started = await studio.started(items=200)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carry_out, studio, started.id)  # its job is taken from it, and it does not know yet
            await until(lambda: done_at_least(studio, started.id, 4))
            await cancel_job(studio, started)
            assert await swept(studio) == 1
        view = await studio.view(started.id)
        assert view.summary is not None
        assert (view.status, view.summary.items) == (EvaluationStatus.CANCELLED, view.items_done)
        assert (await studio.workshop.money(ADA))[1] == 0
        await assert_each_once(studio, started.id, view.items_done)
