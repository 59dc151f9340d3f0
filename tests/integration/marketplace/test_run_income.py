"""What runs earned, in the dashboard of their seller: equal to what the ledger booked, whatever became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from promptforge.actors.billing.ledger.messages import TakeBackTopup
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.insights.messages import GetSellerDashboard, SellerDashboard
from promptforge.actors.marketplace.messages import Licence
from promptforge.actors.marketplace.sealed.messages import FundTrials, SealedRunView
from promptforge.core.amounts import to_millicredits
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.market import top_up
from tests.support.sealed import ANSWER, TERMS, TEXT, Lighthouse, open_lighthouse

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer(terms=replace(TERMS, share="1.111", trials_per_person=1))
        yield opened


async def booked(lighthouse: Lighthouse) -> Counter[str]:
    """By kind of journal, all that came to the seller as pending and that left it, in millicredits."""
    sums: Counter[str] = Counter()
    wanted = {"user_id": lighthouse.seller.user_id, "account": "pending"}
    async for leg in lighthouse.collection("transactions").find(wanted):
        journal = await lighthouse.collection("ledger_journals").find_one({"_id": leg["journal_id"]})
        sums[journal["kind"]] += leg["amount"]
    return sums


async def shown(lighthouse: Lighthouse, **wanted: Any) -> SellerDashboard:
    return await lighthouse.seller.ask(GetSellerDashboard(**wanted))


async def test_the_dashboard_has_what_the_ledger_booked_for_runs(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer("bruno")
    dora, _ = await lighthouse.buyer("dora", credits=0)
    await top_up(lighthouse.market.process.mongo, dora, 10)
    for person in (bruno, dora, bruno):
        await lighthouse.run(person)
    lighthouse.says(TEXT)
    assert (await lighthouse.run(bruno)).withheld is not None
    lighthouse.says(ANSWER)
    await lighthouse.market.fund(lighthouse.seller, 5)
    await lighthouse.seller.ask(FundTrials(listing_id=lighthouse.listing.id, credits="3"))
    await lighthouse.run(await lighthouse.market.person("anna"))
    await lighthouse.run(lighthouse.seller)
    runs = (await shown(lighthouse)).runs
    sums = await booked(lighthouse)
    assert (runs.runs, to_millicredits(runs.net), runs.refunds) == (3, sums["run_close"], 0)
    assert sums["run_close"] == 3 * 944, "what was withheld, tried, or one's own earns nothing"
    assert (await lighthouse.seller.ask(GetCredits())).pending == runs.net


async def test_a_share_that_a_dispute_took_back_is_told_on_the_day_of_its_run(lighthouse: Lighthouse) -> None:
    mongo = lighthouse.market.process.mongo
    bruno, _ = await lighthouse.buyer("bruno")
    dora, _ = await lighthouse.buyer("dora", credits=0)
    await top_up(mongo, dora, 10)
    for person in (dora, bruno):
        await lighthouse.run(person)
    lighthouse.clock.advance(days=3)
    disputed = TakeBackTopup(
        topup_id=f"topup:cs_{dora.user_id}",
        claim_id="dp_1",
        kind=ClaimKind.DISPUTE,
        amount=1000,
        captured=1000,
        undo_sales=True,
    )
    await lighthouse.market.process.context().ask(disputed)
    await lighthouse.run(bruno)
    dashboard, sums = await shown(lighthouse, days=4), await booked(lighthouse)
    assert (dashboard.runs.runs, dashboard.runs.refunds) == (3, 1)
    assert to_millicredits(dashboard.runs.net) == sums["run_close"]
    assert to_millicredits(dashboard.runs.refunded_net) == -sums["run_refund"] > 0
    assert [(day.runs, day.runs_net) for day in dashboard.days] == [(2, "1.888"), (0, "0"), (0, "0"), (1, "0.944")]
    assert (await shown(lighthouse, days=3)).runs.runs == 1
    assert (await verify_ledger(mongo)).ok


async def booked_of(lighthouse: Lighthouse, runs: list[SealedRunView]) -> Counter[str]:
    """By `close` and `refund`, what the ledger booked to the seller for just these runs."""
    sums: Counter[str] = Counter()
    for run in runs:
        wanted = {
            "user_id": lighthouse.seller.user_id,
            "account": "pending",
            "journal_id": {"$regex": f"^run:{run.run_id}:"},
        }
        async for leg in lighthouse.collection("transactions").find(wanted):
            sums[leg["journal_id"].rpartition(":")[2]] += leg["amount"]
    return sums


async def test_each_listing_has_what_the_ledger_booked_for_runs_of_it(lighthouse: Lighthouse) -> None:
    """Three listings, one of which sells as well; a dispute takes two runs back, of one listing each."""
    await lighthouse.offer(terms=replace(TERMS, share="2.345"))
    await lighthouse.offer(licence=Licence.SOURCE, terms=None, price="1")
    first, second, sold = lighthouse.listings
    mongo = lighthouse.market.process.mongo
    bruno, dora = await lighthouse.market.person("bruno"), await lighthouse.market.person("dora")
    await lighthouse.market.fund(bruno, 50)
    await top_up(mongo, dora, 20)
    ran: dict[str, list[SealedRunView]] = {first.id: [], second.id: []}
    for person in (bruno, dora):
        for listing in (first, second):
            await lighthouse.market.buy(person, listing, price="0")
            for _ in range(1 + (listing is second)):
                ran[listing.id].append(await lighthouse.run(person, listing_id=listing.id))
    await lighthouse.market.buy(bruno, sold, price="1")
    disputed = TakeBackTopup(
        topup_id=f"topup:cs_{dora.user_id}",
        claim_id="dp_1",
        kind=ClaimKind.DISPUTE,
        amount=1000,
        captured=1000,
        undo_sales=True,
    )
    await lighthouse.market.process.context().ask(disputed)
    shown_now = await shown(lighthouse)
    top = {one.listing_id: one for one in shown_now.top}
    assert [one.listing_id for one in shown_now.top] == [second.id, first.id, sold.id], "by what sales and runs earned"
    assert (top[sold.id].total.sales, top[sold.id].runs.runs) == (1, 0)
    for listing_id, runs in ran.items():
        told, sums = top[listing_id].runs, await booked_of(lighthouse, runs)
        assert (told.runs, to_millicredits(told.net)) == (len(runs), sums["close"])
        assert to_millicredits(told.refunded_net) == -sums["refund"] > 0
    assert sum(to_millicredits(one.runs.net) for one in top.values()) == to_millicredits(shown_now.runs.net)
    assert sum(one.runs.refunds for one in top.values()) == shown_now.runs.refunds == 3
    assert (await verify_ledger(mongo)).ok


async def test_runs_from_before_their_listing_was_told_are_in_the_sums_only(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer("bruno")
    for _ in range(2):
        await lighthouse.run(bruno)
    journals = lighthouse.collection("ledger_journals")
    older = await journals.find_one({"kind": "run_close"})
    await journals.update_one({"_id": older["_id"]}, {"$unset": {"refs.listing_id": ""}})
    shown_now = await shown(lighthouse)
    assert (shown_now.runs.runs, [day.runs for day in shown_now.days if day.runs]) == (2, [2])
    assert [one.runs.runs for one in shown_now.top] == [1]


async def test_what_has_settled_stays_on_its_day(lighthouse: Lighthouse) -> None:
    """Settling takes pending legs away again, under the same lot."""
    bruno, _ = await lighthouse.buyer("bruno")
    await lighthouse.run(bruno)
    before = (await shown(lighthouse)).runs
    legs = lighthouse.collection("transactions")
    (leg,) = await legs.find({"user_id": lighthouse.seller.user_id, "account": "pending"}).to_list(None)
    settled = {**leg, "_id": f"{leg['_id']}s", "amount": -leg["amount"], "journal_id": f"settle:{leg['lot']}"}
    settled["created_at"] = leg["created_at"] + timedelta(seconds=1)
    await legs.insert_one(settled)
    assert (await shown(lighthouse)).runs == before


async def test_nobody_sees_what_another_seller_earned(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer("bruno")
    await lighthouse.run(bruno)
    eve = await lighthouse.market.person("eve", Role.SELLER)
    assert (await eve.ask(GetSellerDashboard())).runs.runs == 0
