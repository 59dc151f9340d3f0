"""Which runs use what was bought, so that it is not refunded by itself any more: those that answered something.

A process that dies closes nothing: a run is left open as it leaves it, and the sweeper finds it ten minutes later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.errors import ModelUnavailable
from promptforge.actors.ai.messages import SweepRuns
from promptforge.actors.ai.models.runs import HOLD_SECONDS, Runs
from promptforge.actors.marketplace.messages import ListPurchases
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.marketplace.purchases.store import PURCHASES
from promptforge.actors.marketplace.sealed import checking
from promptforge.actors.marketplace.sealed.actor import SealedRunsActor
from promptforge.actors.marketplace.sealed.checking import Checking
from promptforge.actors.marketplace.sealed.matching import Match, Sealed
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from tests.support.sealed import ANSWER, Lighthouse, open_lighthouse, refused, verified

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer()
        yield opened


async def used(person: Context) -> bool:
    (purchase,) = (await person.ask(ListPurchases())).items
    return purchase.automatic_refund_until is None


async def test_a_run_that_answers_nothing_costs_no_automatic_refund(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer()
    lighthouse.model.fails = ModelUnavailable()
    for _ in range(2):
        assert await refused(lighthouse, bruno) == "model_unavailable"
    assert not await used(bruno)
    back = await bruno.ask(RequestRefund(purchase_id=purchase.id, words="It does not answer at all."))
    assert back.refunded_at is not None
    assert await verified(lighthouse)


async def test_one_that_fails_beside_or_behind_one_that_answers_changes_nothing(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    assert (await lighthouse.run(bruno)).output == ANSWER
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    assert await used(bruno)
    (row,) = await lighthouse.collection(PURCHASES).find({}).to_list(None)
    assert row["runs_counted"] == 1
    before = {"$unset": {"runs_counted": ""}}  # used before its runs were counted
    await lighthouse.collection(PURCHASES).update_one({}, before)
    assert await refused(lighthouse, bruno) == "model_unavailable"
    assert await used(bruno)


async def test_while_one_run_goes_on_another_that_fails_leaves_it_used(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, _ = await lighthouse.buyer()
    compared = Checking.compared
    seen: list[bool] = []

    async def meanwhile(self: Checking, sealed: Sealed, output: str, known: Sequence[str]) -> Match:
        if not seen:
            seen.append(False)
            lighthouse.model.fails = ModelUnavailable()
            assert await refused(lighthouse, bruno) == "model_unavailable"
            seen.append(await used(bruno))
        return await compared(self, sealed, output, known)

    monkeypatch.setattr(Checking, "compared", meanwhile)
    assert (await lighthouse.run(bruno)).output == ANSWER
    assert seen == [False, True]
    assert await used(bruno)


async def test_a_comparison_that_breaks_costs_no_automatic_refund_either(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, _ = await lighthouse.buyer()

    def broken(*_: object) -> None:
        raise ValueError("it broke")

    monkeypatch.setattr(checking, "compare", broken)
    with pytest.raises(ValueError, match="it broke"):
        await lighthouse.run(bruno)
    assert not await used(bruno)
    assert await verified(lighthouse)


async def test_an_end_of_which_nobody_heard_is_a_use(lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has committed, and its process only learns that something went wrong."""
    bruno, _ = await lighthouse.buyer()
    ended = SealedRunsActor._end

    async def unheard(self: SealedRunsActor, run: Any, result: Any, compared: Any, tx: Context) -> None:
        other = lighthouse.market.process.context(principal=bruno.principal)
        await other.transaction(lambda own: ended(self, run, result, compared, own))
        raise ValueError("nobody heard")

    monkeypatch.setattr(SealedRunsActor, "_end", unheard)
    with pytest.raises(ValueError, match="nobody heard"):
        await lighthouse.run(bruno)
    assert await used(bruno)
    assert await verified(lighthouse)


async def test_whoever_leaves_before_the_output_is_there_has_not_used_it(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await lighthouse.left(bruno)
    assert not await used(bruno)


async def dies(lighthouse: Lighthouse, person: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a run whose process died while the model was asked."""

    async def gone(*_: object, **__: object) -> None:
        pass

    lighthouse.model.fails = ModelUnavailable()
    with monkeypatch.context() as dying:
        dying.setattr(SealedRunsActor, "_give_up", gone)
        dying.setattr(Runs, "_close_anyway", gone)
        assert await refused(lighthouse, person) == "model_unavailable"
    lighthouse.model.fails = None


async def swept(lighthouse: Lighthouse) -> int:
    return await lighthouse.market.process.context().ask(SweepRuns())


async def test_a_run_whose_process_died_gives_the_automatic_refund_back_once_it_is_swept(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, purchase = await lighthouse.buyer()
    before = await lighthouse.money(bruno)
    await dies(lighthouse, bruno, monkeypatch)
    assert (await swept(lighthouse), await used(bruno)) == (0, True)
    lighthouse.clock.advance(seconds=HOLD_SECONDS)
    assert (await swept(lighthouse), await used(bruno)) == (1, False)
    assert await lighthouse.money(bruno) == before
    back = await bruno.ask(RequestRefund(purchase_id=purchase.id, words="It never answered."))
    assert back.refunded_at is not None
    assert await verified(lighthouse)


async def test_a_swept_run_beside_one_that_answered_changes_nothing(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, _ = await lighthouse.buyer()
    await dies(lighthouse, bruno, monkeypatch)
    await dies(lighthouse, bruno, monkeypatch)
    assert (await lighthouse.run(bruno)).output == ANSWER
    lighthouse.clock.advance(seconds=HOLD_SECONDS)
    assert (await swept(lighthouse), await used(bruno)) == (2, True)
    (row,) = await lighthouse.collection(PURCHASES).find({}).to_list(None)
    assert row["runs_counted"] == 1


async def test_a_run_that_is_swept_before_its_end_shows_nothing_and_is_given_back_once(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was as good as dead, and is back. Whoever gave it back twice would count another run's use away."""
    bruno, _ = await lighthouse.buyer()
    compared = Checking.compared
    late = anyio.Event()

    async def meanwhile(self: Checking, sealed: Sealed, output: str, known: Sequence[str]) -> Match:
        if not late.is_set():
            late.set()
            lighthouse.clock.advance(seconds=HOLD_SECONDS)
            assert (await swept(lighthouse), await used(bruno)) == (1, False)
            assert (await lighthouse.run(bruno)).output == ANSWER
        return await compared(self, sealed, output, known)

    monkeypatch.setattr(Checking, "compared", meanwhile)
    assert await refused(lighthouse, bruno) == "run_closed"
    assert await used(bruno)
    assert await verified(lighthouse)


async def test_a_model_that_fails_gives_the_use_back_in_the_commit_that_closes_its_run(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing is lost where the process dies right behind it."""
    bruno, _ = await lighthouse.buyer()

    async def gone(*_: object, **__: object) -> None:
        pass

    lighthouse.model.fails = ModelUnavailable()
    monkeypatch.setattr(SealedRunsActor, "_give_up", gone)
    assert await refused(lighthouse, bruno) == "model_unavailable"
    assert not await used(bruno)


async def test_of_a_sweeper_and_an_end_at_once_one_decides_whether_it_was_used(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Checking.compared

    async def beside(self: Checking, sealed: Sealed, output: str, known: Sequence[str]) -> Match:
        lighthouse.clock.advance(seconds=HOLD_SECONDS)
        tasks.start_soon(swept, lighthouse)
        return await compared(self, sealed, output, known)

    monkeypatch.setattr(Checking, "compared", beside)
    for number in range(6):
        person, _ = await lighthouse.buyer(f"bruno-{number}")
        async with anyio.create_task_group() as tasks:
            answered = await refused(lighthouse, person) == "done"
        assert await used(person) is answered
    assert await verified(lighthouse)
