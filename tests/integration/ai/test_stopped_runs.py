"""Runs of somebody whose account is suspended meanwhile: they end, and each is settled or released exactly once."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from promptforge.actors.ai.errors import RunClosed
from promptforge.actors.ai.messages import BeginRun, RunModel, RunUsage, SettleRun
from promptforge.core.errors import AccountSuspended, PromptForgeError
from promptforge.core.mongo import Mongo
from promptforge.core.streams import Delta
from tests.integration.ai.workshop import open_workshop, order
from tests.support.models import ScriptedModel

pytestmark = pytest.mark.anyio
SOON = 0.02
UNWANTED = RunUsage(10, 10, estimated=True, cost_microusd=0, credits="0", latency_ms=0, first_token_ms=None)
AT_ONCE = 8
"""Runs at a time: as many as the provider's guard lets begin together."""


async def test_a_stream_ends_and_what_the_model_has_said_is_paid_for(mongo: Mongo) -> None:
    model = ScriptedModel(pause=0.05, pieces=["word "] * 1000)
    async with open_workshop(mongo, model=model, look_seconds=SOON) as workshop:
        user = await workshop.user()
        stream = await workshop.stream(user, max_tokens=1000)
        items = aiter(stream)
        assert [await anext(items), await anext(items)] == [Delta("word "), Delta("word ")]
        await workshop.suspend(user)
        with pytest.raises(AccountSuspended), anyio.fail_after(60):
            await stream.whole()
        assert workshop.model.stopped == 1
        (record,) = await workshop.usage()
        assert (record["outcome"], record["error_code"]) == ("cancelled", "account_suspended")
        assert 2 <= record["output_tokens"] < 1000
        paid = record["input_tokens"] + 2 * record["output_tokens"]
        assert (record["millicredits"], await workshop.money(user)) == (paid, (100_000 - paid, 0))
        assert await workshop.open_runs() == 0
        assert await workshop.verified()


async def test_a_model_that_says_nothing_is_not_waited_for(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(pause=50), look_seconds=SOON) as workshop:
        user, other = await workshop.user(), await workshop.user(user_id="usr_eve")
        ended: list[str] = []

        async def run(user_id: str) -> None:
            try:
                await workshop.run(user_id)
            except PromptForgeError as error:
                ended.append(f"{user_id}: {error.code}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, user)
            tasks.start_soon(run, other)
            while len(workshop.model.told) < 2:
                await anyio.sleep(0.01)
            await workshop.suspend(user)
            with anyio.fail_after(40):
                while not ended:
                    await anyio.sleep(0.01)
            assert ended == [f"{user}: account_suspended"], "the other's goes on"
            tasks.cancel_scope.cancel()
        assert (await workshop.money(user))[1] == 0
        assert await workshop.verified()


async def test_a_run_that_its_caller_would_have_settled_is_released_and_settled_by_nobody(mongo: Mongo) -> None:
    async with open_workshop(mongo, model=ScriptedModel(pause=50), look_seconds=SOON) as workshop:
        user = await workshop.user()
        wanted = order("Hello", run_id="run_sealed")
        await workshop.context(user).ask(BeginRun(**wanted))
        async with anyio.create_task_group() as tasks:

            async def suspend() -> None:
                while not workshop.model.told:
                    await anyio.sleep(0.01)
                await workshop.suspend(user)

            tasks.start_soon(suspend)
            with pytest.raises(AccountSuspended), anyio.fail_after(40):
                await workshop.context(user).ask(RunModel(**wanted, settle=False))
        (record,) = await workshop.usage()
        assert (record["outcome"], record["millicredits"]) == ("cancelled", 0)
        assert (await workshop.money(user), await workshop.open_runs()) == ((100_000, 0), 0)
        with pytest.raises(RunClosed):
            await workshop.context(user).ask(SettleRun(run_id="run_sealed", usage=UNWANTED))
        assert await workshop.verified()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_a_suspension_meets_each_run_is_closed_once(mongo: Mongo, seed: int) -> None:
    """Streams and whole answers that are just beginning, in the middle, or being settled when it is noticed."""
    rng = Random(seed)
    model = ScriptedModel(pieces=["word "] * 6, tokens=None)
    async with open_workshop(mongo, model=model, look_seconds=SOON) as workshop:
        user = await workshop.user()
        outcomes: list[str] = []

        async def run(after: float, whole: bool) -> None:  # noqa: FBT001  # as a task group passes it
            await anyio.sleep(after)
            try:
                if whole:
                    await workshop.run(user)
                else:
                    await (await workshop.stream(user)).whole()
                outcomes.append("ok")
            except PromptForgeError as error:
                outcomes.append(error.code)

        model.pause = 0.01
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(AT_ONCE):
                    tasks.start_soon(run, rng.uniform(0, 0.2), number % 2 == 0)
                await anyio.sleep(rng.uniform(0.02, 0.2))
                await workshop.suspend(user)
        assert len(outcomes) == AT_ONCE
        assert set(outcomes) <= {"ok", "account_suspended"}
        records = await workshop.usage()
        assert len(records) == AT_ONCE, "one record of each run, however it ended"
        assert sorted(record["error_code"] or "ok" for record in records) == sorted(outcomes)
        assert await workshop.open_runs() == 0
        spent = sum(record["millicredits"] for record in records)
        assert await workshop.money(user) == (100_000 - spent, 0)
        assert await workshop.verified()
