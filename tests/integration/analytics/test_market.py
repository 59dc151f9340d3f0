"""The figures of the market are what the ledger says, at any moment, added up or not yet."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from promptforge.actors.analytics.market import actor
from promptforge.actors.analytics.market.messages import FoldMarket, GetMarketFigures, MarketView, ScanMarket
from promptforge.actors.analytics.market.store import BUYERS, DAYS
from promptforge.actors.billing.figures import store as figures
from promptforge.actors.billing.figures.messages import JournalFigures
from promptforge.actors.billing.ledger.messages import CloseRun, ReserveRun, RunShare, TakeBackTopup
from promptforge.actors.billing.ledger.topups.domain import ClaimKind, Topup
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.marketplace.insights.views import ViewCounter
from promptforge.actors.marketplace.messages import PurchaseListing, RefundPurchase
from promptforge.core.amounts import MILLI, to_millicredits
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt
from tests.support.market import raised, top_up

pytestmark = pytest.mark.anyio


async def told(branches: Branches, days: int = 30) -> MarketView:
    root, _ = await branches.person("root", Role.ADMIN)
    return await root.ask(GetMarketFigures(days=days))


async def fold(branches: Branches) -> int:
    return await branches.here.process.context().ask(FoldMarket())


async def ledger_sum(branches: Branches, account: str, *, kinds: tuple[str, ...] = ()) -> int:
    """Out of the legs themselves: all on an account, or those of people's purses in journals of some kinds."""
    legs = branches.mongo.collection("transactions")
    if not kinds:
        return sum([row["amount"] async for row in legs.find({"account": account})])
    journals = branches.mongo.collection("ledger_journals").find({"kind": {"$in": list(kinds)}})
    ids = [row["_id"] async for row in journals]
    purses = {"$in": ["granted", "purchased", "earned", "debt"]}
    wanted = {"journal_id": {"$in": ids}, "account": purses, "amount": {"$lt" if "purchase" in kinds else "$gt": 0}}
    return sum([row["amount"] async for row in legs.find(wanted)])


async def assert_equal_to_the_ledger(branches: Branches, view: MarketView) -> None:
    shown = view.figures
    assert to_millicredits(shown.take) == await ledger_sum(branches, "platform:fees")
    assert to_millicredits(shown.model_income) == await ledger_sum(branches, "platform:llm")
    assert to_millicredits(shown.losses) == -await ledger_sum(branches, "platform:losses")
    bought = -await ledger_sum(branches, "", kinds=("purchase",))
    assert to_millicredits(shown.gmv) == bought + 1000 * shown.runs_sold
    assert sum(to_millicredits(day.figures.gmv) for day in view.days) == to_millicredits(shown.gmv)
    purchases = branches.mongo.collection("purchases")
    assert shown.purchases == await purchases.count_documents({})
    assert shown.refunds >= await purchases.count_documents({"refunded_at": {"$ne": None}})
    assert await branches.ledger_is_right()


async def paid(branches: Branches, name: str, credits: int) -> Context:
    """Somebody who has paid for credits, with a charge that can be disputed."""
    person, _ = await branches.person(name)
    await top_up(branches.mongo, person, credits)
    topup = Topup(f"topup:cs_{person.user_id}", person.user_id, credits * MILLI, captured=credits)

    async def work(tx: Context) -> None:
        assert tx.session is not None
        await Ledger(branches.mongo).topups.put(topup, session=tx.session)

    await person.transaction(work)
    return person


async def trade(branches: Branches) -> None:
    """Sales with gifts and with money, a refund, a run with a seller's share, and a dispute that undoes a sale."""
    carla, _ = await branches.person("carla", Role.SELLER)
    dear = await branches.here.published(carla, "Dear", price="20")
    cheap = await branches.here.published(carla, "Cheap", price="7.777")
    service = branches.here.process.context()
    for number in range(4):
        buyer = await paid(branches, f"buyer{number}", 100)
        if number % 2:
            await branches.here.fund(buyer, 50)
        bought = await branches.here.buy(buyer, dear, "20")
        await branches.here.buy(buyer, cheap, "7.777")
        if number == 0:
            await service.ask(RefundPurchase(purchase_id=bought.id, reason="As asked for"))
    runner = await paid(branches, "runner", 10)
    await service.ask(ReserveRun(run_id="run_1", user_id=runner.user_id, amount_millicredits=2000))
    await service.ask(CloseRun(run_id="run_1", charge_millicredits=200, share=RunShare(carla.user_id, 1000)))
    swindler = await paid(branches, "swindler", 20)
    await branches.here.buy(swindler, dear, "20")
    claim = TakeBackTopup(
        topup_id=f"topup:cs_{swindler.user_id}",
        claim_id="dp_1",
        kind=ClaimKind.DISPUTE,
        amount=20,
        captured=20,
        undo_sales=True,
    )
    assert len((await service.ask(claim)).refunded_purchases) == 1
    views = ViewCounter(branches.mongo)
    for _ in range(45):
        views.add(dear.id, seller_id=carla.user_id, viewer_id=None, now=carla.now())
    await views.flush()


async def test_they_are_what_the_ledger_says_before_and_after_they_are_added_up(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trade(branches)
    live = await told(branches)
    await assert_equal_to_the_ledger(branches, live)
    assert (live.figures.purchases, live.figures.refunds, live.figures.runs_sold, live.figures.views) == (9, 2, 1, 45)
    assert (live.active_buyers, live.buyers_before, live.retention, live.conversion) == (6, 0, None, 0.2)
    assert await fold(branches) == 0, "transactions that are open may still add to the last minutes"
    monkeypatch.setattr(figures, "SETTLED", timedelta(0))
    journals = await branches.count("ledger_journals")
    assert await fold(branches) == journals
    assert await told(branches) == live
    assert await fold(branches) == 0
    buyer, _ = await branches.person("buyer0")
    (listing,) = [row async for row in branches.mongo.collection("marketplace_listings").find({"title": "Dear"})]
    assert (await raised(buyer, _purchase(listing["_id"]))) == "done"
    again = await told(branches)
    await assert_equal_to_the_ledger(branches, again)
    assert (again.figures.purchases, again.active_buyers) == (10, 6), "the same buyer is one, added up or not"


def _purchase(listing_id: str) -> PurchaseListing:
    return PurchaseListing(listing_id=listing_id, expected_price="20")


async def test_two_who_add_up_at_once_and_one_that_is_cut_short_count_each_journal_once(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SETTLED", timedelta(0))
    await trade(branches)
    live = await told(branches)
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await fold(branches)
    assert await branches.count(DAYS) + await branches.count(BUYERS) == 0
    folded = []

    async def fold_there() -> None:
        folded.append(await branches.there.process.context().ask(FoldMarket()))

    async with anyio.create_task_group() as tasks:

        async def other_one() -> None:
            tasks.start_soon(fold_there)
            await anyio.sleep(0.1)  # it has read the mark that we have read, and runs into ours

        branches.transactions.before_commit = other_one
        folded.append(await fold(branches))
    assert sum(folded) == await branches.count("ledger_journals")
    assert await told(branches) == live
    await assert_equal_to_the_ledger(branches, live)


async def test_who_bought_before_and_again_is_retained(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of ten days ago are of the time before the last week."""
    monkeypatch.setattr(figures, "SETTLED", timedelta(0))
    carla, _ = await branches.person("carla", Role.SELLER)
    first, second = [await branches.here.published(carla, name) for name in ("First", "Second")]
    people = [await paid(branches, f"buyer{number}", 100) for number in range(4)]
    for person in people[:3]:
        await branches.here.buy(person, first)
    moved = {"$set": {"created_at": carla.now() - timedelta(days=10)}}
    await branches.mongo.collection("ledger_journals").update_many({"kind": "purchase"}, moved)
    for person in (people[0], people[3]):
        await branches.here.buy(person, second)
    live = await told(branches, days=7)
    assert (live.active_buyers, live.buyers_before, live.retention) == (2, 3, round(1 / 3, 4))
    await fold(branches)
    assert await told(branches, days=7) == live
    assert [day.active_buyers for day in live.days] == [0, 0, 0, 0, 0, 0, 2]


async def test_an_export_has_every_day_since_the_first_sale(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SETTLED", timedelta(0))
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Old")
    buyer = await paid(branches, "buyer", 100)
    await branches.here.buy(buyer, listing)
    moved = {"$set": {"created_at": carla.now() - timedelta(days=800)}}
    await branches.mongo.collection("ledger_journals").update_many({"kind": "purchase"}, moved)
    await fold(branches)
    scanned = await branches.here.process.context().ask(ScanMarket())
    assert (len(scanned.rows), scanned.next) == (801, None)
    assert [day.figures.purchases for day in scanned.rows] == [1] + [0] * 800


async def test_who_bought_is_counted_also_while_that_is_added_up(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process adds everything up after the sums are read, and before anything else is."""
    monkeypatch.setattr(figures, "SETTLED", timedelta(0))
    await trade(branches)
    live = await told(branches)
    journals_after, folded = actor._journals_after, list[int]()

    async def beside(mark: str | None, context: Context) -> list[JournalFigures]:
        found = await journals_after(mark, context)
        if not folded:
            folded.append(await branches.there.process.context().ask(FoldMarket()))
        return found

    monkeypatch.setattr(actor, "_journals_after", beside)
    assert await told(branches) == live
    assert folded == [await branches.count("ledger_journals")]
    assert live.active_buyers == 6


async def test_they_are_for_administrators(branches: Branches) -> None:
    for role in (Role.USER, Role.SELLER, Role.MODERATOR, Role.OPERATOR):
        person, _ = await branches.person(f"a-{role}", role)
        assert await raised(person, GetMarketFigures()) == "forbidden"
