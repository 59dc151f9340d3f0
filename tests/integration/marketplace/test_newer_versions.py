"""Who has bought a listing hears, once, that it sells a newer version by now."""

from __future__ import annotations

from collections import Counter

import pytest

from promptforge.actors.marketplace.messages import (
    Decision,
    GetListing,
    ListingView,
    PurchaseListing,
    RelistListing,
    UnlistListing,
    UpdateListing,
)
from promptforge.actors.marketplace.purchases import actor as purchases_actor
from promptforge.actors.marketplace.purchases.messages import RequestRefund, TellHolders
from promptforge.actors.notifications.preferences.messages import ChannelChoice, ChooseChannels
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.actors.users.messages import CloseAccount
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.marketplace.test_proposals import about
from tests.integration.marketplace.test_suspensions import decided

pytestmark = pytest.mark.anyio
KIND = "purchase.newer_version"


async def offered(branches: Branches, carla: Context, listing: ListingView, *, told: bool = True) -> ListingView:
    """A newer version of the listing, approved; its jobs have run where they are to."""
    version = listing.version + 1
    await carla.ask(CreateVersion(prompt_id=listing.prompt_id, content=f"Version {version} of {{{{word}}}}."))
    proposed = await carla.ask(UpdateListing(listing_id=listing.id, version=version))
    view = await branches.here.process.context().ask(about(proposed))
    if told:
        await branches.here.jobs_done()
    return view


async def told(branches: Branches, person: Context) -> list[str]:
    return [one.title for one in await branches.here.notices(person) if one.kind == KIND]


async def bodies(branches: Branches, person: Context) -> list[str]:
    return [one.body for one in await branches.here.notices(person) if one.kind == KIND]


async def shop(branches: Branches, *names: str) -> tuple[Context, ListingView, list[Context]]:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Grows")
    buyers = []
    for name in names:
        buyer, _ = await branches.person(name)
        await branches.here.fund(buyer, 100)
        await branches.here.buy(buyer, listing)
        buyers.append(buyer)
    return carla, listing, buyers


async def test_each_holder_hears_once_of_each_version(branches: Branches) -> None:
    carla, listing, (bruno, dora) = await shop(branches, "bruno", "dora")
    eve, _ = await branches.person("eve")
    second = await offered(branches, carla, listing)
    await branches.here.process.context().ask(TellHolders(listing_id=listing.id, version=2))
    for person in (bruno, dora):
        (body,) = await bodies(branches, person)
        assert "of which you have version 1, is sold in version 2" in body
    await offered(branches, carla, second)
    assert (len(await told(branches, bruno)), len(await told(branches, dora))) == (2, 2)
    for other in (carla, eve):
        assert await told(branches, other) == []


async def test_who_has_left_is_told_nothing_and_nothing_is_kept_of_them(branches: Branches) -> None:
    carla, listing, (bruno, dora) = await shop(branches, "bruno", "dora")
    await branches.here.jobs_done()
    await branches.here.process.context().ask(CloseAccount(user_id=dora.user_id))
    notifications, deliveries = (branches.mongo.collection(f"notification{one}") for one in ("s", "_deliveries"))
    before = await notifications.count_documents({"user_id": dora.user_id})
    await offered(branches, carla, listing)
    assert len(await told(branches, bruno)) == 1
    assert await notifications.count_documents({"user_id": dora.user_id}) == before
    assert await deliveries.count_documents({"user_id": dora.user_id, "kind": KIND}) == 0
    assert await branches.mongo.collection("jobs").count_documents({"state": "dead"}) == 0


async def test_whoever_has_the_version_or_gave_theirs_back_hears_nothing(branches: Branches) -> None:
    carla, listing, (bruno, dora) = await shop(branches, "bruno", "dora")
    (row,) = await branches.mongo.collection("purchases").find({"buyer_id": dora.user_id}).to_list(None)
    await dora.ask(RequestRefund(purchase_id=row["_id"], words="I do not need it."))
    fred, _ = await branches.person("fred")
    await branches.here.fund(fred, 100)
    second = await offered(branches, carla, listing, told=False)
    await fred.ask(PurchaseListing(listing_id=listing.id, expected_price="10"))
    assert [len(await told(branches, one)) for one in (bruno, dora, fred)] == [1, 0, 0]
    old = {**row, "_id": f"{row['_id']}x", "buyer_id": fred.user_id, "version": 1, "refunded_at": None}
    await branches.mongo.collection("purchases").insert_one(old)
    await branches.here.process.context().ask(TellHolders(listing_id=second.id, version=2))
    assert await told(branches, fred) == [], "an older purchase besides tells them nothing"


async def test_nothing_is_told_of_what_is_off_the_market_until_it_is_back(branches: Branches) -> None:
    carla, listing, (bruno,) = await shop(branches, "bruno")
    service = branches.here.process.context()
    await service.ask(decided(listing, Decision.SUSPEND))
    await offered(branches, carla, listing)
    assert await told(branches, bruno) == []
    lifted = await service.ask(decided(await carla.ask(GetListing(listing_id=listing.id)), Decision.LIFT))
    assert len(await told(branches, bruno)) == 1
    await carla.ask(UnlistListing(listing_id=listing.id))
    third = await offered(branches, carla, lifted)
    assert (third.version, len(await told(branches, bruno))) == (3, 1)
    await carla.ask(RelistListing(listing_id=listing.id))
    assert len(await told(branches, bruno)) == 2
    await carla.ask(UnlistListing(listing_id=listing.id))
    await carla.ask(RelistListing(listing_id=listing.id))
    assert len(await told(branches, bruno)) == 2


async def test_a_suspension_before_the_job_runs_keeps_it_silent(branches: Branches) -> None:
    carla, listing, (bruno,) = await shop(branches, "bruno")
    view = await offered(branches, carla, listing, told=False)
    await branches.here.process.context().ask(decided(view, Decision.SUSPEND))
    assert await told(branches, bruno) == []


async def test_many_holders_are_told_a_page_at_a_time_each_once(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purchases_actor, "TOLD_AT_ONCE", 3)
    carla, listing, buyers = await shop(branches, *(f"buyer{number}" for number in range(8)))
    view = await offered(branches, carla, listing, told=False)
    again = TellHolders(listing_id=listing.id, version=view.version)
    services = (branches.here.process.context(), branches.there.process.context())
    assert set(await all_at_once([(one, again) for one in services] * 2)) == {"done"}
    counts = Counter[int]()
    for buyer in buyers:
        counts[len(await told(branches, buyer))] += 1
    assert counts == {1: 8}
    pages = await branches.mongo.collection("jobs").count_documents({"kind": {"$regex": "TellHolders"}})
    assert pages >= 3


async def test_who_wants_to_hear_nothing_of_it_does_not(branches: Branches) -> None:
    carla, listing, (bruno, dora) = await shop(branches, "bruno", "dora")
    silent = ChooseChannels(user_id=bruno.user_id, choices={KIND: ChannelChoice(in_app=False)})
    await branches.here.process.context().ask(silent)
    await offered(branches, carla, listing)
    assert (await told(branches, bruno), len(await told(branches, dora))) == ([], 1)


async def test_a_refund_beside_the_telling_is_before_it_or_after_it(branches: Branches) -> None:
    """Who was told had the purchase at that moment; who has given it back before is not told later."""
    carla, listing, (bruno,) = await shop(branches, "bruno")
    purchases = branches.mongo.collection("purchases")
    for _ in range(4):
        view = await offered(branches, carla, listing, told=False)
        (row,) = await purchases.find({"buyer_id": bruno.user_id, "refunded_at": None}).to_list(None)
        tell = TellHolders(listing_id=listing.id, version=view.version)
        refund = RequestRefund(purchase_id=row["_id"], words="I do not need it.")
        there = branches.there.process.context()
        assert await all_at_once([(there, tell), (bruno, refund)]) == {"done": 2}
        heard = len(await told(branches, bruno))
        await branches.here.process.context().ask(tell)
        assert len(await told(branches, bruno)) == heard
        listing = view
        await bruno.ask(PurchaseListing(listing_id=listing.id, expected_price="10"))
