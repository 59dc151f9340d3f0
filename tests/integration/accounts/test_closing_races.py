"""The closing of an account beside what its owner, their buyers and their sellers do at that moment.

`here` is interrupted between its work and its commit, and `there` does the other thing meanwhile: whichever commits
first is first, and the other one begins again and sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import anyio
import anyio.abc
import pytest

from promptforge.actors.accounts.domain import SETTLED
from promptforge.actors.accounts.messages import CancelDeletion, DeleteAccount, GetDeletion, Obstacle, RequestDeletion
from promptforge.actors.billing.ledger.messages import (
    AdjustmentKind,
    AdjustmentState,
    ApproveAdjustment,
    RejectAdjustment,
    RequestAdjustment,
)
from promptforge.actors.billing.messages import GrantCredits
from promptforge.actors.billing.payouts.messages import RequestPayout
from promptforge.actors.marketplace.messages import GetPurchase, PurchaseListing, RelistListing
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.webhooks.messages import CreateWebhook
from promptforge.actors.users.staff.messages import SuspendAccount
from promptforge.core.context import Context
from promptforge.core.jobs import Discard
from promptforge.core.principal import Role
from tests.integration.accounts.lives import time_has_come
from tests.integration.marketplace.branches import Branches
from tests.integration.partnerships.referred import affiliate, buyer_of, lift, suspend
from tests.support.market import Market, raised

pytestmark = pytest.mark.anyio


async def due(branches: Branches, person: Context) -> None:
    """Somebody has asked, and the grace is over; nothing has been done about it yet."""
    await person.ask(RequestDeletion(give_up_credits=True))
    past = datetime.now(UTC) - timedelta(minutes=1)
    await branches.mongo.collection("account_deletions").update_one({"_id": person.user_id}, {"$set": {"due_at": past}})


async def close(market: Market, person: Context) -> str:
    """What the job does first; `done`, or `not_now`."""
    try:
        await market.process.context().ask(DeleteAccount(user_id=person.user_id))
    except Discard:
        return "not_now"
    return "done"


class Beside:
    """Begins something in the other process once the next transaction of `here` has done its work.

    `free`: it does not come to what that has written, and ends before the commit.
    """

    def __init__(
        self, branches: Branches, tasks: anyio.abc.TaskGroup, other: Awaitable[str], *, free: bool = False
    ) -> None:
        self.outcome = ""
        self._other = other
        self._free = free
        self._tasks = tasks
        branches.transactions.before_commit = self._begin

    async def _begin(self) -> None:
        self._tasks.start_soon(self._run)
        if not self._free:
            await anyio.sleep(0.3)  # it comes to what this one has written, and has to wait for the commit
            return
        with anyio.move_on_after(20):
            while not self.outcome:
                await anyio.sleep(0.01)

    async def _run(self) -> None:
        self.outcome = await self._other


async def earner(branches: Branches) -> tuple[Context, Context]:
    here, there = await branches.person("ada", Role.SELLER)
    await branches.here.fund(here, 5000)
    now = datetime.now(UTC)
    facts: dict[str, object] = {
        **dict.fromkeys(("charges_enabled", "payouts_enabled", "transfers_enabled", "details_submitted"), True),
        "id": "acct_ada",
        "country": "US",
        "currency": "usd",
        "bank": "a bank",
        "requirements_due": [],
        "disabled_reason": None,
    }
    account = {"account_id": "acct_ada", "country": "US", "facts": facts, "key_number": 1}
    times = {"key_stored_at": now, "created_at": now, "asked_at": now, "bank_changed_at": now - timedelta(days=30)}
    await branches.mongo.collection("connect_accounts").insert_one({"_id": here.user_id, **account, **times})
    # As if sales had brought them: what is granted is never paid out.
    await branches.mongo.collection("users").update_one(
        {"_id": here.user_id},
        {"$set": {"credits.earned": 5_000_000, "credits.granted": 0, "credits.lots": []}},
    )
    return here, there


PAYOUT = RequestPayout(amount="2000")


async def test_a_payout_under_way_keeps_the_account(branches: Branches) -> None:
    ada, _ = await earner(branches)
    await due(branches, ada)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, close(branches.there, ada))
        assert await raised(ada, PAYOUT) == "done"
    assert beside.outcome == "not_now"
    assert set((await ada.ask(GetDeletion())).obstacles) == {Obstacle.RESERVED, Obstacle.PAYOUT}


async def test_nothing_is_paid_out_to_an_account_that_closed_first(branches: Branches) -> None:
    ada, there = await earner(branches)
    await due(branches, ada)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(there, PAYOUT))
        assert await close(branches.here, ada) == "done"
    assert beside.outcome == "account_closed"
    assert await branches.count("payouts") == 0


async def test_nobody_buys_with_an_account_that_is_closed(branches: Branches) -> None:
    """The request came with a principal from before."""
    seller = await branches.here.person("sam", Role.SELLER)
    listing = await branches.here.published(seller, "Wanted")
    free = await branches.here.published(seller, "Free", price="0")
    bruno, there = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    await due(branches, bruno)
    async with anyio.create_task_group() as tasks:
        buying = raised(there, PurchaseListing(listing_id=listing.id, expected_price="10"))
        beside = Beside(branches, tasks, buying)
        assert await close(branches.here, bruno) == "done"
    assert beside.outcome == "account_closed"
    assert await raised(bruno, PurchaseListing(listing_id=free.id, expected_price="0")) == "account_closed"
    assert await branches.count("purchases") == await branches.count("entitlements") == 0
    assert await branches.ledger_is_right()


async def test_a_purchase_that_committed_first_is_a_sale_like_any_other(branches: Branches) -> None:
    seller = await branches.here.person("sam", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    listing = await branches.here.published(seller, "Sold in time")
    await due(branches, seller)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, close(branches.there, seller))
        purchase = await branches.here.buy(bruno, listing)
    assert beside.outcome == "done"
    await time_has_come(branches, seller.user_id)
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).content == "Say {{word}}."
    assert await branches.ledger_is_right()


@pytest.mark.parametrize("price", ["0", "10"])
@pytest.mark.parametrize("commits_last", ["purchase", "closing"])
async def test_a_sale_and_the_closing_of_its_seller_both_stand_whichever_commits_last(
    branches: Branches, price: str, commits_last: str
) -> None:
    """A sale writes nothing of its seller's, so neither waits: each has done its work before the other's commit."""
    seller = await branches.here.person("sam", Role.SELLER)
    bruno, there = await branches.person("bruno")
    late = await branches.here.person("late")
    for person in (bruno, late):
        await branches.here.fund(person, 100)
    listing = await branches.here.published(seller, "Sold meanwhile", price=price)
    await due(branches, seller)
    order = PurchaseListing(listing_id=listing.id, expected_price=price)
    async with anyio.create_task_group() as tasks:
        if commits_last == "purchase":
            beside = Beside(branches, tasks, close(branches.there, seller), free=True)
            outcome = await raised(bruno, order)
        else:
            beside = Beside(branches, tasks, raised(there, order), free=True)
            outcome = await close(branches.here, seller)
        assert beside.outcome == "done", "it has committed while the other one has not"
    assert outcome == "done"
    (sale,) = await branches.mongo.collection("purchases").find({"listing_id": listing.id}).to_list(None)
    assert await raised(late, order) in {"not_for_sale", "not_found"}
    await branches.here.jobs_done()
    await time_has_come(branches, seller.user_id)
    assert (await bruno.ask(GetPurchase(purchase_id=sale["_id"]))).content == "Say {{word}}."
    assert await branches.ledger_is_right()


async def test_commissions_of_a_closed_account_go_back_into_the_fees(branches: Branches) -> None:
    """They are asked for, given up, and one comes in by a sale that was under way while the account closed."""
    pat = await affiliate(branches, "pat")
    seller = await branches.here.person("sam", Role.SELLER)
    listings = [await branches.here.published(seller, f"Listing {number}", price="100") for number in range(3)]
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, listings[0], "100")
    await suspend(branches, pat)
    await lift(branches, pat)
    await branches.here.buy(bruno, listings[1], "100")
    assert await pat.stand() == ("3", "3", "0")
    assert await raised(pat.context, RequestDeletion()) == "deletion_blocked"
    await due(branches, pat.context)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, close(branches.there, pat.context))
        await branches.here.buy(bruno, listings[2], "100")
    assert beside.outcome == "done"
    await time_has_come(branches, pat.context.user_id)
    sales = await branches.mongo.collection("ledger_sales").find({"partner_id": pat.partner_id}).to_list(None)
    assert [(sale["promised"], sale["commission"], sale["forgone"]) for sale in sales] == [(3000, 0, 3000)] * 3
    assert await branches.ledger_is_right()


async def test_nothing_of_a_closed_sellers_is_sold_even_where_it_is_on_the_market(branches: Branches) -> None:
    """As where a moderator lifts a suspension just then."""
    seller = await branches.here.person("sam", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    listing = await branches.here.published(seller, "Back again")
    await due(branches, seller)
    assert await close(branches.here, seller) == "done"
    listings = branches.mongo.collection("marketplace_listings")
    row = await listings.find_one({"_id": listing.id})
    assert row is not None
    assert row["state"] == "unlisted"
    await listings.update_one({"_id": listing.id}, {"$set": {"state": "published"}})
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "not_for_sale"
    assert await branches.ledger_is_right()


async def test_of_a_cancelling_and_a_closing_one_wins(branches: Branches) -> None:
    ada, there = await branches.person("ada")
    await due(branches, ada)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(there, CancelDeletion()))
        assert await close(branches.here, ada) == "done"
    assert beside.outcome == "nothing_to_cancel"

    bob, _ = await branches.person("bob")
    await due(branches, bob)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, close(branches.there, bob))
        assert await raised(bob, CancelDeletion()) == "done"
    assert beside.outcome == "not_now"


async def test_asking_again_while_the_account_closes_brings_nothing_back(branches: Branches) -> None:
    """The second request changes something, so the two conflict, and it looks again; its principal is from before."""
    ada, there = await branches.person("ada")
    await ada.ask(RequestDeletion())
    deletions = branches.mongo.collection("account_deletions")
    past = datetime.now(UTC) - timedelta(minutes=1)
    await deletions.update_one({"_id": ada.user_id}, {"$set": {"due_at": past}})
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(there, RequestDeletion(give_up_credits=True)))
        assert await close(branches.here, ada) == "done"
    assert beside.outcome == "account_closed"
    for state in ("closing", "erased", "done"):
        row = await deletions.find_one({"_id": ada.user_id})
        assert row is not None
        assert row["state"] == state
        assert await raised(ada, RequestDeletion(give_up_credits=True)) == "account_closed"
        assert await deletions.find_one({"_id": ada.user_id}) == row
        await time_has_come(branches, ada.user_id)


async def test_a_seller_who_relists_while_the_account_closes_sells_nothing(branches: Branches) -> None:
    seller, there = await branches.person("sam", Role.SELLER)
    listing = await branches.here.published(seller, "Up and down")
    await due(branches, seller)
    assert await close(branches.here, seller) == "done"
    await raised(there, RelistListing(listing_id=listing.id))
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "not_for_sale"


async def told(market: Market, person: Context, key: str) -> str:
    """As its job tells somebody something."""
    notice = NotifyUser(
        user_id=person.user_id,
        kind="listing.sold",
        title=f"Title {key}",
        body="Body",
        subject={"n": key},
        dedupe_key=f"{person.user_id}:{key}",
    )
    await market.process.context().ask(notice)
    return "done"


async def left_of_notices(branches: Branches, person: Context) -> list[int]:
    about = {"user_id": person.user_id}
    return [await branches.count(name, **about) for name in ("notifications", "notification_deliveries")]


@pytest.mark.parametrize("first", ["the notice", "the closing"])
async def test_what_is_told_beside_the_closing_goes_with_the_account(branches: Branches, first: str) -> None:
    """Either sees an account that is open, so both commit; the erasure begins when no such transaction is left."""
    ada, there = await branches.person("ada")
    await ada.ask(CreateWebhook(url="https://example.com/hook"))
    await due(branches, ada)
    async with anyio.create_task_group() as tasks:
        if first == "the notice":
            beside = Beside(branches, tasks, close(branches.there, ada))
            assert await told(branches.here, ada, "1") == "done"
        else:
            beside = Beside(branches, tasks, told(branches.there, there, "1"))
            assert await close(branches.here, ada) == "done"
    assert beside.outcome == "done"
    assert await left_of_notices(branches, ada) == [1, 1], "both have committed"
    await told(branches.here, ada, "2")
    assert await left_of_notices(branches, ada) == [1, 1], "who has gone is told nothing"
    await branches.here.jobs_done()
    (delivery,) = await branches.mongo.collection("notification_deliveries").find({}).to_list(None)
    assert (delivery["state"], delivery["reason"]) == ("skipped", "account_suspended"), "nothing was sent"
    await time_has_come(branches, ada.user_id)
    assert await left_of_notices(branches, ada) == [0, 0]
    waiting = {"kind": {"$in": ["notifications.NotifyUser", "webhooks.SendWebhook"]}, "owner_id": ada.user_id}
    assert await branches.count("jobs", **waiting) == 0


async def test_a_notice_that_would_outlast_the_wait_before_the_erasure_is_not_written(branches: Branches) -> None:
    """What the erasure counts on: MongoDB ends a transaction after a minute, and the erasure waits for five."""
    limits = await branches.mongo.raw.client.admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
    assert timedelta(seconds=2 * limits["transactionLifetimeLimitSeconds"]) <= SETTLED


GIFT = "A prize was won"


async def test_nobody_gives_credits_to_an_account_that_is_closed(branches: Branches) -> None:
    """Neither at once nor by two; what was asked for before is not approved either, and stays to be rejected."""
    admin = await branches.here.person("admin", Role.ADMIN)
    ann, bea = await branches.here.person("ann", Role.OPERATOR), await branches.here.person("bea", Role.OPERATOR)
    ada = await branches.here.person("ada")
    gift = {"user_id": ada.user_id, "amount": "5", "reason": GIFT}
    asked = await ann.ask(RequestAdjustment(kind=AdjustmentKind.GRANT, **gift))
    await due(branches, ada)
    assert await close(branches.here, ada) == "done"
    assert await raised(admin, GrantCredits(**gift)) == "recipient_closed"
    assert await raised(ann, RequestAdjustment(kind=AdjustmentKind.GRANT, **gift)) == "recipient_closed"
    assert await raised(bea, ApproveAdjustment(adjustment_id=asked.id)) == "recipient_closed"
    assert await branches.count("ledger_journals") == 0
    refused = await bea.ask(RejectAdjustment(adjustment_id=asked.id, reason="They have left"))
    assert refused.state is AdjustmentState.REJECTED


async def test_who_is_suspended_is_given_credits_all_the_same(branches: Branches) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    ada = await branches.here.person("ada")
    await admin.ask(SuspendAccount(user_id=ada.user_id, reason="To be looked into"))
    assert await raised(admin, GrantCredits(user_id=ada.user_id, amount="5", reason=GIFT)) == "done"


async def test_a_gift_beside_the_closing_is_seen_by_it_or_refused(branches: Branches) -> None:
    """The closing has done its work and waits for its commit; then it is the gift that does."""
    admin, admin_there = await branches.person("admin", Role.ADMIN)
    ada, _ = await branches.person("ada")
    await due(branches, ada)
    gift = GrantCredits(user_id=ada.user_id, amount="5", reason=GIFT)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(admin_there, gift))
        assert await close(branches.here, ada) == "done"
    assert beside.outcome == "recipient_closed"
    bea, _ = await branches.person("bea")
    past = datetime.now(UTC) - timedelta(minutes=1)
    await bea.ask(RequestDeletion())
    deletions = branches.mongo.collection("account_deletions")
    await deletions.update_one({"_id": bea.user_id}, {"$set": {"due_at": past}})
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, close(branches.there, bea))
        gift = GrantCredits(user_id=bea.user_id, amount="5", reason=GIFT)
        assert await raised(admin, gift) == "done"
    assert beside.outcome == "not_now"
    assert Obstacle.CREDITS_LEFT in (await bea.ask(GetDeletion())).obstacles
    assert await branches.ledger_is_right()
