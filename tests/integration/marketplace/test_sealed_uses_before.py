"""Uses of runs that answered nothing, from before a use was given back: a migration gives them back, once each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.ai.errors import ModelUnavailable
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.ai.models.store import RUNS, USAGE
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.marketplace.purchases.store import PURCHASES
from promptforge.core.mongo import Document, Mongo, run_migrations
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.marketplace.test_sealed_uses import dies, swept, used
from tests.support.sealed import ANSWER, Lighthouse, open_lighthouse, refused, verified

pytestmark = pytest.mark.anyio
(MIGRATION,) = [one for one in MIGRATIONS if "answered nothing" in one.name]


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer()
        yield opened


async def as_before(lighthouse: Lighthouse, **changes: object) -> None:
    """What was bought was used by its first run, whatever became of that, and no run said what it had used."""
    purchases = lighthouse.collection(PURCHASES)
    (row,) = await purchases.find({}).to_list(None)
    used_at = {"used_at": row["created_at"], **changes}
    await purchases.update_one({}, {"$set": used_at, "$unset": {"runs_counted": ""}})
    await lighthouse.collection(RUNS).update_many({}, {"$set": {"purchase_id": None}})


async def purchase_of(lighthouse: Lighthouse) -> Document:
    row: Document | None = await lighthouse.collection(PURCHASES).find_one({})
    assert row is not None
    return row


async def test_where_no_run_has_answered_the_use_goes_back_once(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, purchase = await lighthouse.buyer()
    await dies(lighthouse, bruno, monkeypatch)
    lighthouse.clock.advance(seconds=HOLD_SECONDS)
    assert await swept(lighthouse) == 1
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    await as_before(lighthouse)
    assert {row["outcome"] for row in await lighthouse.collection(USAGE).find({}).to_list(None)} == {"lost", "failed"}
    assert await used(bruno)
    assert await run_migrations(lighthouse.market.process.mongo, [MIGRATION]) == [MIGRATION.number]
    assert not await used(bruno)
    lighthouse.model.fails = None
    assert (await lighthouse.run(bruno)).output == ANSWER
    await MIGRATION.apply(lighthouse.market.process.mongo)
    assert await used(bruno), "what has answered since is not given back by a second turn"
    assert (await bruno.ask(RequestRefund(purchase_id=purchase.id, words="I need it no more."))).refunded_at is None


async def test_what_went_back_is_refunded_for_the_asking(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer()
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    await as_before(lighthouse)
    await MIGRATION.apply(lighthouse.market.process.mongo)
    back = await bruno.ask(RequestRefund(purchase_id=purchase.id, words="It never answered."))
    assert back.refunded_at is not None
    assert await verified(lighthouse)


async def test_what_one_run_has_answered_stays_used(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    assert (await lighthouse.run(bruno)).output == ANSWER
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    await as_before(lighthouse)
    await MIGRATION.apply(lighthouse.market.process.mongo)
    assert await used(bruno)


async def test_a_run_that_died_right_before_the_upgrade_gives_its_use_back_when_it_is_swept(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, _ = await lighthouse.buyer()
    await dies(lighthouse, bruno, monkeypatch)
    await dies(lighthouse, bruno, monkeypatch)
    await as_before(lighthouse)
    for _ in range(2):
        await MIGRATION.apply(lighthouse.market.process.mongo)
    assert (await used(bruno), (await purchase_of(lighthouse))["runs_counted"]) == (True, 2)
    lighthouse.clock.advance(seconds=HOLD_SECONDS)
    assert (await swept(lighthouse), await used(bruno)) == (2, False)
    assert await verified(lighthouse)


async def test_one_that_is_swept_beside_one_that_answers_after_the_upgrade_leaves_it_used(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bruno, _ = await lighthouse.buyer()
    await dies(lighthouse, bruno, monkeypatch)
    await as_before(lighthouse)
    await MIGRATION.apply(lighthouse.market.process.mongo)
    assert (await lighthouse.run(bruno)).output == ANSWER
    lighthouse.clock.advance(seconds=HOLD_SECONDS)
    assert (await swept(lighthouse), await used(bruno)) == (1, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": datetime.now(UTC) - timedelta(days=15)},
        {"refund_policy": "of before"},
        {"licence": "source"},
        {"refunded_at": datetime.now(UTC)},
        {"used_at": datetime.now(UTC) + timedelta(days=1)},  # all of a run after this file was read
    ],
    ids=["too old to be refunded", "of another policy", "read", "refunded", "used by nothing that is known"],
)
async def test_other_purchases_are_left_as_they_are(lighthouse: Lighthouse, changes: dict[str, object]) -> None:
    bruno, _ = await lighthouse.buyer()
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    await as_before(lighthouse, **changes)
    before = await purchase_of(lighthouse)
    await MIGRATION.apply(lighthouse.market.process.mongo)
    assert await purchase_of(lighthouse) == before
