"""Browsing reads an index and no more than its page, from the first page on and from the middle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptforge.actors.marketplace.listings import browsing
from promptforge.actors.marketplace.listings.messages import ListingSort, ListListings
from promptforge.actors.marketplace.listings.store import LISTINGS, ListingStore
from promptforge.actors.marketplace.messages import (
    Category,
    Licence,
)
from promptforge.core.mongo import Mongo
from promptforge.deploy.features import INDEXES
from tests.support.mongo import with_indexes

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PAGE = 20
NARROWED: dict[str, dict[str, Any]] = {
    "all": {},
    "a category": {"category": Category.CODING},
    "a tag": {"tag": "news"},
}


def row(number: int) -> dict[str, Any]:
    """Values of which many are equal, so that the order is the id's too."""
    return {
        "_id": f"lst_{number:026}",
        "seller_id": f"usr_{number % 50:026}",
        "state": "published" if number % 10 else "draft",
        "revision": 1,
        "prompt_id": f"prm_{0:026}",
        "version": 1,
        "content_hash": "0",
        "title": "T",
        "summary": "S",
        "description": "D",
        "category": ["coding", "writing", "other"][number % 3],
        "tags": ["news", "long"] if number % 2 else [],
        "price": number % 7 * 1000,
        "licence": "source",
        "review": None,
        "proposal": None,
        "rating": {"count": 1, "stars": 4},
        "ranks": {"trending": number % 11, "sales": number % 5, "rated": number % 6, "average": 4000},
        "created_at": NOW,
        "updated_at": NOW,
        "published_at": NOW + timedelta(seconds=number % 400),
    }


@pytest.fixture
async def listings(mongo: Mongo) -> ListingStore:
    await with_indexes(mongo, {LISTINGS: INDEXES[LISTINGS]})
    await mongo.collection(LISTINGS).insert_many([row(number) for number in range(3000)])
    return ListingStore(mongo)


def stages(plan: dict[str, Any]) -> list[str]:
    inner = [plan[name] for name in ("inputStage",) if name in plan] + plan.get("inputStages", [])
    return [plan["stage"], *(stage for one in inner for stage in stages(one))]


@pytest.mark.parametrize("sort", ListingSort)
async def test_each_sort_reads_an_index_and_no_more_than_the_page(
    mongo: Mongo, listings: ListingStore, sort: ListingSort
) -> None:
    for name, narrowed in NARROWED.items():
        matching = ListListings(sort=sort, limit=100, **narrowed)
        (whole,) = browsing.stretches(matching)
        rows = await mongo.collection(LISTINGS).find(whole).sort(browsing.order(sort)).to_list(None)
        seen: list[str] = []
        for place in (0, len(rows) // 2, len(rows) - 2 * PAGE):
            cursor = browsing.cursor_of(sort, rows[place - 1]) if place else None
            message = ListListings(sort=sort, limit=PAGE, cursor=cursor, **narrowed)
            for told in await explained(mongo, message, sort):
                used, ran = stages(told["queryPlanner"]["winningPlan"]), told["executionStats"]
                assert "IXSCAN" in used, (name, place, used)
                assert not {"SORT", "COLLSCAN"} & set(used), (name, place, used)
                assert ran["totalDocsExamined"] <= ran["nReturned"] + 1 <= PAGE + 2, (name, place)
                assert ran["totalKeysExamined"] <= ran["nReturned"] + 3, (name, place)
            page = await listings.browse(message)
            assert [one.id for one in page.items] == [row["_id"] for row in rows[place : place + PAGE]]
            seen += [one.id for one in page.items]
        assert len(seen) == len(set(seen)) == 3 * PAGE


@pytest.mark.parametrize("sort", ListingSort)
@pytest.mark.parametrize(
    "filters", [{"free": True}, {"min_price": "999"}, {"licence": Licence.RUNS}, {"min_rating": 5.0}]
)
async def test_filters_that_leave_few_of_many_do_not_read_them_all(
    mongo: Mongo, listings: ListingStore, sort: ListingSort, filters: dict[str, Any]
) -> None:
    """By whichever index the planner finds to be the best; where there is none for them, at the cost of one."""
    rare = {"price": {"free": 0}.get(next(iter(filters)), 999_000), "licence": "runs", "ranks.average": 5000}
    await mongo.raw[LISTINGS].update_many({"price": 0}, {"$set": {"price": 3000}})
    await mongo.raw[LISTINGS].update_one({"_id": row(2501)["_id"]}, {"$set": rare})
    message = ListListings(sort=sort, limit=PAGE, **filters)
    (told,) = await explained(mongo, message, sort)
    assert told["executionStats"]["nReturned"] == 1
    if not {"licence", "min_rating"} & filters.keys():
        assert told["executionStats"]["totalDocsExamined"] <= PAGE, told["queryPlanner"]["winningPlan"]
    assert [one.id for one in (await listings.browse(message)).items] == [row(2501)["_id"]]


async def explained(mongo: Mongo, message: ListListings, sort: ListingSort) -> list[dict[str, Any]]:
    """Each stretch of the page, as if it had to fill it alone."""
    index = browsing.index_for(message)
    read = {
        "find": LISTINGS,
        "sort": dict(browsing.order(sort)),
        "limit": PAGE + 1,
        **({} if index is None else {"hint": index}),
    }
    finds = [{**read, "filter": stretch} for stretch in browsing.stretches(message)]
    return [await mongo.raw.command({"explain": find, "verbosity": "executionStats"}) for find in finds]
