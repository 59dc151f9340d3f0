"""A database of the service before is upgraded in place: every account begins with what it had, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import anyio
import pytest

from promptforge.actors.billing import BillingActor
from promptforge.actors.billing.messages import GetCredits, ListTransactions, WebhookEventState
from promptforge.actors.billing.store import EventStore, Ledger, LedgerAudit, LedgerSeals, ReportStore
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.users.store import UserStore
from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo import (
    DuplicateKey,
    Mongo,
    compare_indexes,
    ensure_indexes,
    prepare_migrations,
    run_migrations,
)
from promptforge.core.principal import Principal, Role
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.upgrade.identity import internal_id
from promptforge.deploy.upgrade.preparation import WITHOUT_UID, prepare
from promptforge.deploy.upgrade.rows import NOT_SELLABLE
from tests.support.old_database import (
    EVERY_EVENT,
    ROWS_EACH,
    expected_credits,
    expected_reason,
    fill,
    history,
    is_weird,
    old_id,
    stored_credits,
    user,
)
from tests.support.processes import job_process

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]

USERS = 2_000
COLLECTIONS = ("users", "transactions", "ledger_journals", "marketplace_listings", "webhook_events", "usage")
OPENING = MIGRATIONS[2]


async def apply(mongo: Mongo) -> None:
    await OPENING.apply(mongo)


async def upgrade(mongo: Mongo) -> list[int]:
    """What a start of the service does with its database."""
    await prepare_migrations(mongo, MIGRATIONS)
    await ensure_indexes(mongo, INDEXES)
    return await run_migrations(mongo, MIGRATIONS)


async def contents(mongo: Mongo) -> dict[str, list[Any]]:
    """Everything that the upgrade writes, without the times at which it did."""
    return {
        name: [_timeless(row) async for row in mongo.collection(name).find({}).sort([("_id", 1)])]
        for name in COLLECTIONS
    }


def _timeless(value: Any) -> Any:  # Any: BSON values
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if not isinstance(one, datetime)}
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    return repr(value)  # NaN is not equal to itself


async def test_every_account_begins_with_what_it_had_and_the_ledger_verifies(mongo: Mongo) -> None:
    await fill(mongo, USERS)
    assert await upgrade(mongo) == [one.number for one in MIGRATIONS]
    assert await upgrade(mongo) == []
    report = await verify_ledger(mongo)
    assert (report.ok, report.violations) == (True, ())
    opened = [number for number in range(USERS) if expected_credits(number)]
    assert (report.accounts, report.journals, report.legs) == (USERS, len(opened), 2 * len(opened))
    rows = {row["uid"]: row async for row in mongo.collection("users").find({})}
    for number in range(USERS):
        row, amount = rows[f"uid{number}"], expected_credits(number)
        assert row["_id"] == internal_id("usr", old_id(number))
        assert (row["credits"]["granted"], row["credits"]["debt"]) == (max(amount, 0), min(amount, 0)), number
        assert sum(row["credits"][fund] for fund in ("purchased", "earned", "pending", "reserved")) == 0
        assert row["before_ledger"]["reason"] == expected_reason(number)
        if is_weird(number):
            assert repr(row["before_ledger"]["kept"]["credits"]) == repr(stored_credits(number))
    assert [one for one in await compare_indexes(mongo, INDEXES) if one.what != "extra"] == []


async def test_a_person_who_was_taken_over_spends_and_is_never_paid(mongo: Mongo) -> None:
    await fill(mongo, 40)
    await upgrade(mongo)
    person = await UserStore(mongo).find_by_uid("uid0")
    assert person is not None
    assert (person.roles, person.display_name, person.created_at) == ((Role.USER,), "User 0", user(0)["created_at"])
    billing = BillingActor(Ledger(mongo), LedgerAudit(mongo), LedgerSeals(mongo), ReportStore(mongo))
    async with job_process(mongo, [billing]) as process:
        context = process.context(Principal(person.id, person.uid, frozenset({Role.USER})))
        has = await context.ask(GetCredits())
        (entry,) = (await context.ask(ListTransactions())).items
    assert (has.available, has.granted, has.purchased, has.earned) == ("100", "100", "0", "0")
    assert (entry.id, entry.kind, entry.amount) == (f"opening:{person.id}", "opening", "100")


async def test_rows_of_the_history_are_kept_and_name_people_as_this_service_does(mongo: Mongo) -> None:
    await fill(mongo, USERS)
    await upgrade(mongo)
    kept = [row async for row in mongo.collection("transactions").find({"before_ledger": {"$exists": True}})]
    assert len(kept) == USERS * ROWS_EACH
    assert not any("user_id" in row for row in kept)
    by_id = {row["_id"]: row for row in kept}
    for number in range(0, USERS, 7):
        for old in history(number):
            now = by_id[old["_id"]]
            assert [now[name] for name in ("amount", "type", "created_at")] == [
                old[name] for name in ("amount", "type", "created_at")
            ]
            gone = old["user_id"] == "gone"
            wanted = {"user_id": "gone", "reason": "unknown_user"}
            known = {"user_id": internal_id("usr", old_id(number)), "reason": None}
            assert now["before_ledger"] == (wanted if gone else known)


async def test_a_reference_that_can_mean_two_people_means_nobody(mongo: Mongo) -> None:
    await mongo.collection("users").insert_many([{"_id": 1, "uid": "2"}, {"_id": 2, "uid": "b"}])
    await mongo.collection("transactions").insert_one({"_id": 1, "user_id": "2", "amount": 1})
    await upgrade(mongo)
    row = await mongo.collection("transactions").find_one({"_id": 1})
    assert row is not None
    assert row["before_ledger"] == {"user_id": "2", "reason": "ambiguous_user"}
    assert (await verify_ledger(mongo)).ok


async def test_old_listings_show_up_with_their_sellers_and_say_why_they_cannot_be_sold(mongo: Mongo) -> None:
    await fill(mongo, 600)
    await upgrade(mongo)
    store = ListingStore(mongo)
    seller = internal_id("usr", old_id(20))
    (listing,) = (await store.list_own(seller, state=None, cursor=None, limit=10)).items
    assert (listing.state, listing.title, listing.price) == (ListingState.REJECTED, "Prompt 20", "12.5")
    assert listing.review is not None
    assert listing.review.reason_code == NOT_SELLABLE
    states = Counter([row["state"] async for row in mongo.collection("marketplace_listings").find({})])
    assert states == {"rejected": 30}
    nobodys = [row async for row in mongo.collection("marketplace_listings").find({"seller_id": ""})]
    assert [row["before_ledger"]["kept"]["seller_id"] for row in nobodys] == ["gone"]
    assert nobodys[0]["before_ledger"]["reason"] == "unknown_user"


async def test_events_that_were_handled_are_known_and_the_others_wait_for_an_operator(mongo: Mongo) -> None:
    await fill(mongo, 400)
    twice = {"event_id": "evt_10"}
    await mongo.collection("webhook_events").insert_many([{"_id": 1, **twice}, {"_id": 2}, {"_id": 3}])
    await upgrade(mongo)
    events = EventStore(mongo)
    page = await events.list_page(None, None, 100)
    assert len(page.items) == 400 // EVERY_EVENT + 3
    assert (await events.get("evt_10")).state is WebhookEventState.PROCESSED
    assert (await events.get("evt_100")).state is WebhookEventState.QUARANTINED
    assert (await events.get("evt_100")).livemode  # nobody has said that it was not real money
    assert not (await events.get("evt_10")).livemode
    with pytest.raises(DuplicateKey):
        await mongo.collection("webhook_events").insert_one({"_id": "whe_again", **twice})


async def test_an_upgrade_that_is_cut_short_again_and_again_ends_as_one_that_was_not(mongo: Mongo) -> None:
    await fill(mongo, USERS)
    await prepare_migrations(mongo, MIGRATIONS)
    await ensure_indexes(mongo, INDEXES)
    cut, seconds = 0, 0.05
    while True:
        with anyio.move_on_after(seconds) as scope:
            await OPENING.apply(mongo)
        if not scope.cancelled_caught:
            break
        cut, seconds = cut + 1, seconds * 1.3
        await assert_accounts_and_journals_agree(mongo)
    assert cut > 2
    interrupted = await contents(mongo)
    assert (await verify_ledger(mongo)).ok
    for name in COLLECTIONS:
        await mongo.collection(name).delete_many({})
    await fill_again(mongo)
    await OPENING.apply(mongo)
    assert await contents(mongo) == interrupted


async def assert_accounts_and_journals_agree(mongo: Mongo) -> None:
    """However far it has come: a user has been taken over together with their journal, or not at all."""
    has_some = {"$or": [{"credits.granted": {"$gt": 0}}, {"credits.debt": {"$lt": 0}}]}
    rows = mongo.collection("users").find({"before_ledger": {"$exists": True}, **has_some}, {"_id": 1})
    journals = mongo.collection("ledger_journals").find({}, {"parties": 1})
    assert sorted([row["_id"] async for row in rows]) == sorted([row["parties"][0] async for row in journals])
    assert await mongo.collection("users").count_documents({}) == USERS


async def fill_again(mongo: Mongo) -> None:
    """As `fill`, where the indexes are this service's already."""
    for name in ("users", "transactions", "marketplace_listings", "usage", "webhook_events"):
        await mongo.raw[name].drop_indexes()
    await fill(mongo, USERS)
    await prepare(mongo, INDEXES)
    await ensure_indexes(mongo, INDEXES)


async def test_two_processes_that_upgrade_at_once_open_each_account_once(mongo: Mongo) -> None:
    await fill(mongo, 1_000)
    await prepare_migrations(mongo, MIGRATIONS)
    await ensure_indexes(mongo, INDEXES)
    async with anyio.create_task_group() as tasks:  # past the lease, which may have run out
        for _ in range(3):
            tasks.start_soon(apply, mongo)
    report = await verify_ledger(mongo)
    assert (report.ok, report.accounts) == (True, 1_000)
    assert report.journals == sum(1 for number in range(1_000) if expected_credits(number))
    assert await mongo.collection("transactions").count_documents({"journal_id": None}) == 1_000 * ROWS_EACH


async def test_two_users_with_one_uid_stop_the_start_with_a_word_on_what_to_do(mongo: Mongo) -> None:
    await mongo.collection("users").insert_many([{"_id": 1, "uid": "carla"}, {"_id": 2, "uid": "carla"}])
    with pytest.raises(ConfigurationError) as refused:
        await upgrade(mongo)
    assert "carla: 1, 2" in refused.value.detail
    assert "remove the others" in refused.value.detail
    assert await mongo.collection("migrations").count_documents({"_id": 3}) == 0
    await mongo.collection("users").delete_one({"_id": 2})
    assert await upgrade(mongo) == [one.number for one in MIGRATIONS]


async def test_users_without_a_uid_are_set_aside(mongo: Mongo) -> None:
    rows: list[dict[str, Any]] = [
        {"_id": 1, "credits": 5},
        {"_id": 2, "uid": None},
        {"_id": 3, "uid": ""},
        {"_id": 4, "uid": 4},
    ]
    await mongo.collection("users").insert_many([*rows, {"_id": 5, "uid": "a", "credits": 1}])
    await upgrade(mongo)
    aside = [row async for row in mongo.collection(WITHOUT_UID).find({}).sort([("_id", 1)])]
    assert aside == [{**row, "before_ledger": {"reason": "no_uid"}} for row in rows]
    assert await mongo.collection("users").count_documents({}) == 1
    assert (await verify_ledger(mongo)).ok


async def test_a_database_of_this_service_is_left_as_it_is(mongo: Mongo) -> None:
    await ensure_indexes(mongo, INDEXES)
    users: list[dict[str, Any]] = [
        {"_id": "usr_1", "uid": "a"},
        {"_id": "usr_2", "uid": "b", "credits": {"granted": 0, "lots": []}},
    ]
    await mongo.collection("users").insert_many(users)
    await mongo.collection("marketplace_listings").insert_one({"_id": "lst_1", "revision": 3})
    before = await contents(mongo)
    await upgrade(mongo)
    assert await contents(mongo) == before
    assert await compare_indexes(mongo, INDEXES) == []


async def test_a_row_that_only_pretends_to_be_old_is_still_found(mongo: Mongo) -> None:
    """The mark takes a row out of the search for rows without a journal, and out of nothing else."""
    await ensure_indexes(mongo, INDEXES)
    await mongo.collection("users").insert_one({"_id": "usr_1", "uid": "a"})
    row = {"_id": 1, "user_id": "usr_1", "account": "earned", "amount": 5, "journal_id": "", "before_ledger": {}}
    await mongo.collection("transactions").insert_one({**row, "lot": None})
    assert {one.rule for one in (await verify_ledger(mongo)).violations} >= {"balance"}
