"""Evaluations that are cancelled, that lose their process, or that two processes work at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import anyio
import pytest

from promptforge.actors.ai.messages import SweepRuns
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.ai.providers.guarded import Limits
from promptforge.actors.ai.providers.interface import Prompt, Stream
from promptforge.actors.evaluations.messages import CancelEvaluation, EvaluationStatus, RunEvaluation
from promptforge.actors.evaluations.store import EvaluationStore
from promptforge.actors.evaluations.working import CONCURRENCY
from promptforge.core.mongo import Mongo
from tests.integration.evaluations.studio import ADA, Studio, find_principal, open_studio
from tests.support.market import raised
from tests.support.models import ScriptedModel

pytestmark = pytest.mark.anyio
COST = 200


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(60):
        while not await condition():
            await anyio.sleep(0.02)


async def carry_out(studio: Studio, evaluation_id: str) -> None:
    """As the job does, for Ada."""
    principal = await find_principal(ADA)
    await studio.workshop.process.context(principal).ask(RunEvaluation(evaluation_id=evaluation_id))


async def assert_each_once(studio: Studio, evaluation_id: str, items: int) -> None:
    """Every item has one result and was charged once, and nothing is left open."""
    results = await studio.results(evaluation_id)
    assert len({result.item_id for result in results}) == len(results) == items
    assert all(result.error_code is None for result in results)
    charged = Counter(row["_id"].split(":")[1] for row in await studio.charges())
    assert charged == dict.fromkeys((result.item_id for result in results), 1)
    assert await studio.workshop.money(ADA) == (1_000_000 - items * COST, 0)
    assert await studio.workshop.open_runs() == 0
    assert await studio.workshop.verified()


class Tiring(ScriptedModel):
    """Says nothing any more after some answers, so that no machine is too slow to cancel before the last."""

    async def stream(self, prompt: Prompt) -> Stream:
        if len(self.told) == 20:
            self.held = anyio.Event()
        async with aclosing(super().stream(prompt)) as items:
            async for item in items:
                yield item


async def test_cancelled_it_stops_soon_and_gives_back_what_was_reserved(mongo: Mongo) -> None:
    async with open_studio(mongo, model=Tiring(pause=0.1)) as studio:
        started = await studio.started(items=500)

        async def some_are_done() -> bool:
            done = (await studio.view(started.id)).items_done
            return done >= 8 and (await studio.workshop.money(ADA))[1] > 0  # at times all have just been settled

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(studio.workshop.process.runner.drain)
            await until(some_are_done)
            cancelled = await studio.ada.ask(CancelEvaluation(evaluation_id=started.id))
            assert cancelled.status is EvaluationStatus.CANCELLED
        view = await studio.view(started.id)
        assert (view.status, view.failure) == (EvaluationStatus.CANCELLED, None)
        assert view.summary is not None
        assert 8 <= view.summary.items == view.items_done < 100
        assert studio.model.stopped > 0
        await assert_each_once(studio, started.id, view.items_done)
        assert await raised(studio.ada, CancelEvaluation(evaluation_id=started.id)) == "evaluation_over"


async def test_cancelled_it_stops_though_every_answer_takes_half_a_minute(mongo: Mongo) -> None:
    patient = Limits(attempts=1, first_seconds=60, gap_seconds=60, whole_seconds=120)
    async with open_studio(mongo, model=ScriptedModel(pause=30), limits=patient) as studio:
        started = await studio.started(items=50)

        async def all_hands_are_waiting() -> bool:
            return len(studio.model.told) == CONCURRENCY

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(studio.workshop.process.runner.drain)
            await until(all_hands_are_waiting)
            assert (await studio.workshop.money(ADA))[1] > 0
            await studio.ada.ask(CancelEvaluation(evaluation_id=started.id))
        assert (await studio.view(started.id)).status is EvaluationStatus.CANCELLED
        assert studio.model.stopped == len(studio.model.told) == CONCURRENCY
        await assert_each_once(studio, started.id, 0)


async def test_cancelled_before_it_began_it_never_begins(studio: Studio) -> None:
    started = await studio.started()
    await studio.ada.ask(CancelEvaluation(evaluation_id=started.id))
    await studio.workshop.process.runner.drain()
    view = await studio.view(started.id)
    assert (view.status, view.items_done) == (EvaluationStatus.CANCELLED, 0)
    assert studio.model.told == []


async def done_at_least(studio: Studio, evaluation_id: str, number: int) -> bool:
    return (await studio.view(evaluation_id)).items_done >= number


class Lost(Exception):
    """Stands for whatever ends a process."""


def lose_after(monkeypatch: pytest.MonkeyPatch, results: int) -> None:
    """The process that writes so many results is lost in the middle of the next one, with its others in hand."""
    insert = EvaluationStore.insert_result
    written = 0

    async def insert_or_be_lost(self: EvaluationStore, *given: object, **options: object) -> None:
        nonlocal written
        written += 1
        if written > results:
            raise Lost
        await insert(self, *given, **options)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(EvaluationStore, "insert_result", insert_or_be_lost)


async def test_a_new_process_goes_on_where_the_old_one_was_lost(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_studio(mongo, model=ScriptedModel(pause=0.01)) as lost:
        started = await lost.started(items=40)
        with monkeypatch.context() as patch:
            lose_after(patch, 15)
            with pytest.raises(BaseExceptionGroup) as ended:
                await carry_out(lost, started.id)
            assert ended.group_contains(Lost)
        assert await lost.workshop.open_runs() > 0  # nobody has closed what it had in hand
        assert (await lost.workshop.money(ADA))[1] > 0
    async with open_studio(mongo, credits=None) as studio:
        assert (await studio.view(started.id)).items_done == 15
        await carry_out(studio, started.id)
        assert (await studio.view(started.id)).status is EvaluationStatus.FINISHED
        assert len(studio.model.told) == 25  # what had a result was not asked again
        await assert_each_once(studio, started.id, 40)


async def test_also_after_what_it_had_in_hand_was_released(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_studio(mongo) as studio:
        started = await studio.started(items=20)
        with monkeypatch.context() as patch:
            lose_after(patch, 5)
            with pytest.raises(BaseExceptionGroup):
                await carry_out(studio, started.id)
        left = await studio.workshop.open_runs()
        studio.workshop.clock.advance(seconds=HOLD_SECONDS + 1)
        assert await studio.workshop.process.context().ask(SweepRuns()) == left > 0
        await carry_out(studio, started.id)
        await assert_each_once(studio, started.id, 20)


async def test_two_processes_that_work_the_same_evaluation_record_and_charge_each_item_once(mongo: Mongo) -> None:
    """One of them was only taken for dead."""
    async with (
        open_studio(mongo, model=ScriptedModel(pause=0.01)) as here,
        open_studio(mongo, model=ScriptedModel(pause=0.01), credits=None) as there,
    ):
        started = await here.started(items=60)
        async with anyio.create_task_group() as tasks:
            for studio in (here, there):
                tasks.start_soon(carry_out, studio, started.id)
        view = await here.view(started.id)
        assert (view.status, view.failure) == (EvaluationStatus.FINISHED, None)
        assert len(here.model.told) + len(there.model.told) > 60  # they did meet
        await assert_each_once(here, started.id, 60)


async def test_items_worked_at_once_do_not_conflict_over_their_owners_credits(studio: Studio) -> None:
    studio.model.pause = 0.01
    started = await studio.started(items=60)
    begun = studio.workshop.transactions.attempts
    await carry_out(studio, started.id)
    assert studio.workshop.transactions.attempts - begun < 2 * 60 + 10  # a reservation and a result for each


async def test_for_somebody_who_was_suspended_meanwhile_nothing_is_run(mongo: Mongo) -> None:
    async with open_studio(mongo) as studio:
        started = await studio.started()
        suspended = await find_principal("usr_suspended")
        await studio.workshop.process.context(suspended).ask(RunEvaluation(evaluation_id=started.id))
        view = await studio.view(started.id)
        assert (view.status, view.failure and view.failure.code) == (EvaluationStatus.FAILED, "account_suspended")
        assert studio.model.told == []


async def test_what_an_attempt_had_in_hand_before_the_suspension_is_given_back(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_studio(mongo) as studio:
        started = await studio.started(items=20)
        with monkeypatch.context() as patch:
            lose_after(patch, 5)
            with pytest.raises(BaseExceptionGroup):
                await carry_out(studio, started.id)
        assert (await studio.workshop.money(ADA))[1] > 0
        suspended = await find_principal("usr_suspended")
        await studio.workshop.process.context(suspended).ask(RunEvaluation(evaluation_id=started.id))
        view = await studio.view(started.id)
        assert (view.status, view.items_done) == (EvaluationStatus.FAILED, 5)
        await assert_each_once(studio, started.id, 5)
