"""Runs of a language model: reserved, charged by what they took, released where they failed, and written down once."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.ai.errors import ModelFailed, RunClosed, UnknownModel
from promptforge.actors.ai.messages import (
    FinishReason,
    ListModels,
    RunResult,
    SettleRun,
    SweepRuns,
)
from promptforge.actors.ai.models.domain import Price
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.ai.providers.interface import Finish, Tokens
from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.streams import Delta
from tests.integration.ai.workshop import Workshop, open_workshop
from tests.integration.billing.bank import Interrupted
from tests.support.models import ScriptedModel

pytestmark = pytest.mark.anyio

COST = 100 + 2 * 50
"""In millicredits: what the scripted model says that it read and wrote."""


async def test_a_run_is_charged_by_what_the_provider_counted(workshop: Workshop) -> None:
    user = await workshop.user()
    result = await workshop.run(user, prompt_id="prm_1", prompt_version=3)
    assert (result.text, result.model, result.finish_reason) == ("one two three", "scripted-1", FinishReason.STOP)
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.credits) == (100, 50, "0.2")
    assert (result.usage.cost_microusd, result.usage.estimated) == (2000, False)
    assert await workshop.money(user) == (100_000 - COST, 0)
    (record,) = await workshop.usage()
    assert (record["_id"], record["user_id"], record["outcome"]) == (result.run_id, user, "ok")
    assert (record["prompt_id"], record["prompt_version"], record["purpose"]) == ("prm_1", 3, "test")
    assert (record["millicredits"], record["cost_microusd"], record["caller"]) == (COST, 2000, "person")
    assert await workshop.open_runs() == 0
    assert await workshop.verified()


async def test_while_it_runs_the_most_that_it_may_cost_is_held(workshop: Workshop) -> None:
    user = await workshop.user()
    async with await workshop.stream(user, max_tokens=100) as stream:
        items = aiter(stream)
        assert await workshop.money(user) == (100_000, 0)  # nothing has begun
        assert await anext(items) == Delta("one ")
        available, reserved = await workshop.money(user)
        assert available + reserved == 100_000
        assert 200 < reserved < 300  # a hundred tokens may be written, and a few are read
        assert await workshop.verified()
        rest = [item async for item in items]
    assert [item.text for item in rest if isinstance(item, Delta)] == ["two ", "three"]
    result = rest[-1]
    assert isinstance(result, RunResult)
    assert result.usage.first_token_ms is not None
    assert await workshop.money(user) == (100_000 - COST, 0)
    assert await workshop.verified()


async def test_a_run_that_fails_costs_nothing(mongo: Mongo) -> None:
    model = ScriptedModel(fails=ModelFailed("broken"))
    async with open_workshop(mongo, model=model) as workshop:
        user = await workshop.user()
        with pytest.raises(ModelFailed):
            await workshop.run(user)
        assert await workshop.money(user) == (100_000, 0)
        (record,) = await workshop.usage()
        assert (record["outcome"], record["error_code"], record["millicredits"]) == ("failed", "model_failed", 0)
        assert await workshop.verified()


async def test_a_stream_that_breaks_in_the_middle_costs_nothing(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(fails=ModelFailed("broken"), fails_after=2)) as workshop:
        user = await workshop.user()
        items = aiter(await workshop.stream(user))
        assert [await anext(items), await anext(items)] == [Delta("one "), Delta("two ")]
        with pytest.raises(ModelFailed):
            await anext(items)
        assert await workshop.money(user) == (100_000, 0)
        assert await workshop.open_runs() == 0
        assert await workshop.verified()


async def test_a_bug_in_a_provider_is_released_too(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(fails=ZeroDivisionError())) as workshop:
        user = await workshop.user()
        with pytest.raises(ZeroDivisionError):
            await workshop.run(user)
        assert await workshop.money(user) == (100_000, 0)
        assert [record["outcome"] for record in await workshop.usage()] == ["failed"]


async def test_who_leaves_stops_the_model_and_pays_for_what_it_said(workshop: Workshop) -> None:
    user = await workshop.user()
    async with await workshop.stream(user, "Tell me a story") as stream:
        items = aiter(stream)
        await anext(items)
        await anext(items)
    assert workshop.model.stopped == 1
    (record,) = await workshop.usage()
    assert (record["outcome"], record["output_tokens"], record["estimated"]) == ("cancelled", 2, True)
    paid = record["input_tokens"] + 2 * record["output_tokens"]
    assert record["millicredits"] == paid
    assert await workshop.money(user) == (100_000 - paid, 0)
    assert await workshop.verified()


async def test_a_cancelled_reader_settles_as_well(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(pause=0.2, pieces=["word "] * 50)) as workshop:
        user = await workshop.user()
        with anyio.CancelScope() as reading:
            async with await workshop.stream(user) as stream:
                async for _ in stream:
                    reading.cancel()
        assert workshop.model.stopped == 1
        assert [record["outcome"] for record in await workshop.usage()] == ["cancelled"]
        assert (await workshop.money(user))[1] == 0
        assert await workshop.verified()


async def test_a_stream_that_nobody_reads_costs_nothing_and_asks_nobody(workshop: Workshop) -> None:
    user = await workshop.user()
    await (await workshop.stream(user)).aclose()
    assert workshop.model.told == []
    assert await workshop.open_runs() == 0


async def test_a_provider_that_tells_no_count_is_counted_here(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(tokens=None, pieces=["abcd" * 25])) as workshop:
        user = await workshop.user()
        usage = (await workshop.run(user)).usage
        assert (usage.output_tokens, usage.estimated) == (25, True)
        assert await workshop.money(user) == (100_000 - usage.input_tokens - 50, 0)


async def test_more_than_was_held_is_not_the_users_to_pay(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(tokens=Tokens(50_000, 90_000))) as workshop:
        user = await workshop.user()
        result = await workshop.run(user, max_tokens=10)
        available, reserved = await workshop.money(user)
        assert reserved == 0
        assert 100_000 - available < 100
        (record,) = await workshop.usage()
        assert record["cost_microusd"] == 10 * 50_000 + 20 * 90_000  # what it cost us is written down as it is
        assert record["millicredits"] == 100_000 - available
        assert result.usage.credits == f"{(100_000 - available) / 1000:g}"
        assert await workshop.verified()


async def test_without_enough_credits_no_model_is_asked(workshop: Workshop) -> None:
    user = await workshop.user(credits=0)
    with pytest.raises(InsufficientCredits):
        await workshop.run(user)
    with pytest.raises(InsufficientCredits):
        await (await workshop.stream(user)).whole()
    assert workshop.model.told == []
    assert await workshop.open_runs() == 0


async def test_of_many_runs_on_the_last_credits_as_many_start_as_can_be_paid(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(pause=0.05)) as workshop:
        user = await workshop.user(credits=1)
        outcomes: list[str] = []

        async def run() -> None:
            try:
                outcomes.append((await workshop.run(user, max_tokens=450)).finish_reason)
            except InsufficientCredits as error:
                outcomes.append(error.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(run)
        assert sorted(outcomes) == ["insufficient_credits"] * 7 + ["stop"]
        assert await workshop.money(user) == (1000 - COST, 0)
        assert await workshop.verified()


async def test_a_free_model_needs_no_credits_and_is_written_down_all_the_same(mongo: Mongo) -> None:
    async with open_workshop(mongo, price=Price(0, 0)) as workshop:
        user = await workshop.user(credits=0)
        assert (await workshop.run(user)).usage.credits == "0"
        assert [record["input_tokens"] for record in await workshop.usage()] == [100]
        assert await workshop.process.mongo.collection("ledger_journals").count_documents({}) == 0


async def test_it_says_why_the_answer_ends_and_cuts_max_tokens_to_what_the_model_can(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(finish=Finish.LENGTH)) as workshop:
        user = await workshop.user()
        result = await workshop.run(user, max_tokens=5000)
        assert result.finish_reason is FinishReason.LENGTH
        assert workshop.model.told[0].max_tokens == 1000


async def test_an_unknown_model_is_named_with_those_that_there_are(workshop: Workshop) -> None:
    user = await workshop.user()
    with pytest.raises(UnknownModel, match="scripted-1"):
        await workshop.run(user, model="gpt-17")
    assert await workshop.open_runs() == 0


async def test_the_models_are_listed_with_what_they_cost(workshop: Workshop) -> None:
    user = await workshop.user()
    (view,) = (await workshop.context(user).ask(ListModels())).models
    assert (view.name, view.default, view.tiny, view.available) == ("scripted-1", True, False, True)
    assert (view.input_credits_per_million, view.output_credits_per_million) == ("1000", "2000")


# Once, whatever happens


async def test_a_run_with_an_id_of_the_callers_is_charged_once(workshop: Workshop) -> None:
    user = await workshop.user()
    await workshop.run(user, run_id="run_mine")
    with pytest.raises(RunClosed):
        await workshop.run(user, run_id="run_mine")
    assert await workshop.money(user) == (100_000 - COST, 0)
    assert len(await workshop.usage()) == 1


async def test_a_run_is_settled_together_with_what_its_caller_keeps(workshop: Workshop) -> None:
    user = await workshop.user()
    kept = workshop.process.mongo.collection("kept")
    await kept.insert_one({"_id": 0})
    result = await workshop.run(user, run_id="run_mine", settle=False)
    assert await workshop.usage() == []

    async def work(tx: Context) -> str:
        await kept.insert_one({"text": result.text}, session=tx.session)
        return (await tx.ask(SettleRun(run_id=result.run_id, usage=result.usage))).credits

    workshop.transactions.interrupt_next = True
    with pytest.raises(Interrupted):  # the process dies between the work and its commit
        await workshop.context(user).transaction(work)
    assert (await workshop.money(user))[1] > 0
    assert await kept.count_documents({}) == 1

    again = await workshop.run(user, run_id="run_mine", settle=False)  # it comes back, and does it again
    assert again.run_id == "run_mine"
    assert await workshop.context(user).transaction(work) == "0.2"
    assert await workshop.money(user) == (100_000 - COST, 0)
    with pytest.raises(RunClosed):
        await workshop.context(user).transaction(work)
    assert await kept.count_documents({}) == 2
    assert await workshop.verified()


async def test_a_stream_that_is_left_open_charges_nothing_until_its_caller_settles_it(workshop: Workshop) -> None:
    user = await workshop.user()
    result = await (await workshop.stream(user, run_id="run_mine", settle=False)).whole()
    available, reserved = await workshop.money(user)
    assert (available + reserved, await workshop.open_runs(), await workshop.usage()) == (100_000, 1, [])
    assert reserved > 0
    await workshop.context(user).ask(SettleRun(run_id="run_mine", usage=result.usage))
    assert (await workshop.money(user), await workshop.open_runs()) == ((100_000 - COST, 0), 0)
    assert len(await workshop.usage()) == 1
    with pytest.raises(RunClosed):
        await (await workshop.stream(user, run_id="run_mine", settle=False)).whole()
    assert await workshop.verified()


async def test_a_stream_that_was_left_in_the_middle_is_taken_up_again_under_its_id(workshop: Workshop) -> None:
    user = await workshop.user()
    async with await workshop.stream(user, run_id="run_mine", settle=False) as stream:
        async for item in stream:
            assert isinstance(item, Delta)
            break
    assert workshop.model.stopped == 1
    held = await workshop.money(user)
    assert (held[1] > 0, await workshop.open_runs(), await workshop.usage()) == (True, 1, [])
    result = await (await workshop.stream(user, run_id="run_mine", settle=False)).whole()
    assert (result.run_id, result.text, await workshop.money(user)) == ("run_mine", "one two three", held)
    await workshop.context(user).ask(SettleRun(run_id="run_mine", usage=result.usage))
    assert (await workshop.money(user), await workshop.open_runs()) == ((100_000 - COST, 0), 0)
    assert await workshop.verified()


async def test_a_run_whose_process_died_is_released_by_the_sweeper_and_not_before_its_time(workshop: Workshop) -> None:
    user = await workshop.user()
    await workshop.run(user, settle=False)  # and nobody settles
    assert await workshop.context().ask(SweepRuns()) == 0
    workshop.clock.advance(seconds=HOLD_SECONDS + 1)
    assert await workshop.context().ask(SweepRuns()) == 1
    assert await workshop.context().ask(SweepRuns()) == 0
    assert await workshop.money(user) == (100_000, 0)
    assert [record["outcome"] for record in await workshop.usage()] == ["lost"]
    assert await workshop.verified()


async def test_of_many_sweepers_and_a_late_settlement_one_closes_the_run(workshop: Workshop) -> None:
    user = await workshop.user()
    result = await workshop.run(user, run_id="run_late", settle=False)
    workshop.clock.advance(seconds=HOLD_SECONDS + 1)
    settled: list[bool] = []
    swept: list[int] = []

    async def settle() -> None:
        try:
            await workshop.context(user).ask(SettleRun(run_id=result.run_id, usage=result.usage))
        except RunClosed:
            settled.append(False)
        else:
            settled.append(True)

    async def sweep() -> None:
        swept.append(await workshop.context().ask(SweepRuns()))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(settle)
            tasks.start_soon(sweep)
    assert settled.count(True) + sum(swept) == 1
    left = 100_000 - COST if any(settled) else 100_000
    assert await workshop.money(user) == (left, 0)
    assert len(await workshop.usage()) == 1
    assert await workshop.verified()


async def test_usage_and_charge_are_one_commit(workshop: Workshop) -> None:
    user = await workshop.user()
    result = await workshop.run(user, settle=False)
    workshop.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await workshop.context(user).ask(SettleRun(run_id=result.run_id, usage=result.usage))
    assert await workshop.usage() == []
    assert (await workshop.money(user))[1] > 0
    assert await workshop.verified()
