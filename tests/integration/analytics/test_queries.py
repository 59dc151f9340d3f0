"""Questions: what may be asked, one's own only, and the same figures as where they come from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.analytics.queries.messages import GetDashboard, QueryAnalytics, QueryFilter, View
from promptforge.actors.marketplace.insights.views import ViewCounter
from promptforge.actors.marketplace.messages import RefundPurchase
from promptforge.core.context import Context
from promptforge.core.errors import Invalid, NotFound
from promptforge.core.principal import Role
from promptforge.deploy.upgrade.event_sums import make_coarse_sums
from tests.integration.ai.counting import record
from tests.integration.analytics.telling import ask_events, fold, new_event, tell
from tests.integration.marketplace.branches import Branches
from tests.support.market import top_up

pytestmark = pytest.mark.anyio


async def ask(person: Context, **fields: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    answer = await person.ask(QueryAnalytics(**fields))
    return [(row.dimensions, row.measures) for row in answer.rows]


async def test_events_are_grouped_filtered_and_put_into_buckets(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    bob, _ = await branches.person("bob")
    now = ada.now()
    await tell(
        ada,
        new_event("a", now, kind="seen", prompt_id="prm_1", prompt_version=1, value=2),
        new_event("b", now, kind="seen", prompt_id="prm_1", prompt_version=2, value=0.5),
        new_event("c", now - timedelta(days=1), kind="seen", variant="short"),
        new_event("d", now, kind="done", variant="short"),
    )
    await tell(bob, new_event("a", now, kind="seen"))
    await fold(branches)
    by_kind = [(row.dimensions, row.measures) for row in (await ask_events(ada, dimensions=("kind",))).rows]
    assert by_kind == [({"kind": "done"}, {"events": 1, "value": 0.0}), ({"kind": "seen"}, {"events": 3, "value": 2.5})]
    only = QueryFilter("prompt_id", ("prm_1",))
    versions = await ask_events(ada, dimensions=("prompt_version",), filters=(only,), measures=("events",))
    assert [(row.dimensions, row.measures) for row in versions.rows] == [
        ({"prompt_version": 1}, {"events": 1}),
        ({"prompt_version": 2}, {"events": 1}),
    ]
    days = await ask_events(ada, bucket=Bucket.DAY, filters=(QueryFilter("variant", ("short",)),), measures=("events",))
    assert [row.start and row.start.date() for row in days.rows] == [(now - timedelta(days=1)).date(), now.date()]
    assert [row.measures for row in (await ask_events(bob, measures=("events",))).rows] == [{"events": 1}]


async def test_of_many_labels_only_those_that_are_asked_for_are_read(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    now = ada.now()
    await tell(ada, *(new_event(f"e{n}", now, kind=f"kind.{n % 5}", prompt_version=n) for n in range(50)))
    await fold(branches)
    await branches.mongo.raw.command({"profile": 2})
    only = (QueryFilter("kind", ("kind.1", "kind.2")), QueryFilter("prompt_version", (1, 2, 3)))
    found = await ask_events(ada, dimensions=("prompt_version",), filters=only, measures=("events",))
    await branches.mongo.raw.command({"profile": 0})
    assert [row.dimensions["prompt_version"] for row in found.rows] == [1, 2]
    asked = {"op": "query", "ns": f"{branches.mongo.raw.name}.event_rollups"}
    (read,) = await branches.mongo.collection("system.profile").find(asked).to_list(10)
    assert (read["nreturned"], read["planSummary"]) == (2, "IXSCAN { _id: 1 }")
    none = await ask_events(ada, filters=(QueryFilter("prompt_version", (2**70,)),), measures=("events",))
    assert none.rows == ()


async def test_who_has_many_kinds_for_a_year_has_a_dashboard(branches: Branches) -> None:
    """Some 73,000 sums by kind and day, of which those of whole months are not even looked at."""
    ada, _ = await branches.person("ada")
    today = ada.now().replace(hour=0, minute=0, second=0, microsecond=0)
    sums = [
        {
            "_id": f"{ada.user_id}:k:{today - timedelta(days=day):%Y-%m-%d}:kind{kind:03}",
            "owner": ada.user_id,
            "day": today - timedelta(days=day),
            "kind": f"kind{kind:03}",
            "events": kind,
            "value": 0.5,
            "hours": {"7": {"events": kind, "value": 0.5}},
        }
        for day in range(-1, 366)  # and tomorrow, which may have begun before the dashboard is asked for
        for kind in range(1, 201)
    ]
    await branches.mongo.collection("event_rollups").insert_many(sums, ordered=False)
    await make_coarse_sums(branches.mongo)
    await branches.mongo.raw.command({"profile": 2})
    view = await ada.ask(GetDashboard(days=366))
    await branches.mongo.raw.command({"profile": 0})
    read = branches.mongo.collection("system.profile").find({"ns": f"{branches.mongo.raw.name}.event_rollups"})
    looked = [(one["planSummary"].count("IXSCAN"), one["docsExamined"]) for one in await read.to_list(10)]
    assert all(scans for scans, _ in looked), "by the index"
    assert sum(number for _, number in looked) < 366 + 12 * 200 + 61 * 200, "days, months, and days beside these"
    assert view.totals.events == 366 * 20_100
    assert {day.totals.events for day in view.days} == {20_100}
    assert [(kind.kind, kind.events, kind.value) for kind in view.kinds[:2]] == [
        ("kind200", 200 * 366, 183.0),
        ("kind199", 199 * 366, 183.0),
    ]
    since = today - timedelta(days=350)
    answer = await ask_events(ada, since=since, until=today + timedelta(days=1), bucket=Bucket.WEEK)
    days = 351 + since.weekday() + (today.weekday() < 6)  # whole weeks: tomorrow is in this one, or not
    assert sum(int(row.measures["events"]) for row in answer.rows) == days * 20_100


async def test_sales_and_views_are_those_of_the_dashboard_and_ones_own(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Summaries", price="20")
    bought = []
    for number in range(3):
        buyer, _ = await branches.person(f"buyer{number}")
        await top_up(branches.mongo, buyer, 100)
        bought.append(await branches.here.buy(buyer, listing, "20"))
    await branches.here.process.context().ask(RefundPurchase(purchase_id=bought[0].id, reason="As asked for"))
    views = ViewCounter(branches.mongo)
    for _ in range(7):
        views.add(listing.id, seller_id=carla.user_id, viewer_id=None, now=carla.now())
    await views.flush()
    of_listing = {"listing_id": listing.id}
    sales = await ask(carla, view=View.SALES, measures=("sales", "gross", "net", "refunds"), dimensions=("listing_id",))
    assert sales == [(of_listing, {"sales": 3, "gross": "60", "net": "51", "refunds": 1})]
    assert await ask(carla, view=View.VIEWS, measures=("views",), dimensions=("listing_id",)) == [
        (of_listing, {"views": 7})
    ]
    together = ("sales", "gross", "net", "refunds", "refunded_net")
    told = {"sales": 3, "gross": "60", "net": "51", "refunds": 1, "refunded_net": "17"}
    assert await ask(carla, view=View.SALES, measures=together) == [({}, told)]
    await branches.mongo.raw.command({"profile": 2})
    assert await ask(carla, view=View.VIEWS, measures=("views",)) == [({}, {"views": 7})]
    await branches.mongo.raw.command({"profile": 0})
    read = {"ns": f"{branches.mongo.raw.name}.listing_days"}
    (looked,) = await branches.mongo.collection("system.profile").find(read).to_list(10)
    assert (looked["docsExamined"], looked["keysExamined"]) == (0, 1), "views are added up from the index"
    shown = await carla.ask(GetDashboard(days=7))
    totals = shown.totals
    assert (totals.sales, totals.net, totals.refunds, totals.views) == (3, "51", 1, 7)
    assert (len(shown.days), shown.days[-1].totals.sales) == (7, 3)
    buyer, _ = await branches.person("buyer1")
    assert await ask(buyer, view=View.SALES, measures=("sales",)) == []
    assert (await buyer.ask(GetDashboard())).totals.sales == 0


async def test_usage_is_ones_own_and_of_a_prompt_everybodys_for_who_works_on_it(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    eve, _ = await branches.person("eve")
    rollups = RollupStore(branches.mongo)
    one = replace(record(1, "run_1"), timestamp=ada.now(), user_id=ada.user_id, prompt_id="prm_none")

    async def run(tx: Context) -> None:
        await rollups.add(one, tx)

    await branches.here.process.context().transaction(run)
    assert await ask(ada, view=View.USAGE, measures=("runs",)) == [({}, {"runs": 1})]
    assert await ask(eve, view=View.USAGE, measures=("runs",)) == []
    with pytest.raises(NotFound):
        await ask(eve, view=View.USAGE, measures=("runs",), filters=(QueryFilter("prompt_id", ("prm_none",)),))


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"measures": ("events", "sales")}, "/measures/1", "unknown_measure"),
    ({"dimensions": ("external_id",)}, "/dimensions/0", "high_cardinality"),
    ({"dimensions": ("properties.rating",)}, "/dimensions/0", "high_cardinality"),
    ({"dimensions": ("colour",)}, "/dimensions/0", "unknown_dimension"),
    ({"filters": (QueryFilter("user_id", ("usr_1",)),)}, "/filters/0/dimension", "high_cardinality"),
    ({"view": View.SALES, "measures": ("sales",), "dimensions": ("buyer_id",)}, "/dimensions/0", "high_cardinality"),
    ({"view": View.SALES, "measures": ("sales",), "bucket": Bucket.HOUR}, "/bucket", "unknown_bucket"),
    ({"view": View.USAGE, "measures": ("runs",), "bucket": Bucket.HOUR}, "/bucket", "unknown_bucket"),
    ({"view": View.USAGE, "measures": ("runs",), "dimensions": ("prompt_id",)}, "/dimensions/0", "unknown_dimension"),
    (
        {"view": View.USAGE, "measures": ("runs",), "filters": (QueryFilter("prompt_id", ("a", "b")),)},
        "/filters",
        "unknown_filter",
    ),
]


async def test_what_is_not_offered_is_refused_and_what_is_is_said(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    for fields, pointer, code in REFUSED:
        with pytest.raises(Invalid) as refused:
            await ask_events(ada, **fields)
        assert [(one.pointer, one.code) for one in refused.value.errors] == [(pointer, code)], fields


async def test_a_time_that_is_refused_is_told_the_bounds(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    for moment in (datetime(1999, 12, 31, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)):
        with pytest.raises(Invalid) as refused:
            await ask_events(ada, since=moment)
        (told,) = refused.value.errors
        assert (told.pointer, told.code) == ("/from", "out_of_range")
        assert "2000" in told.detail
        assert "2199" in told.detail


async def test_more_rows_than_can_be_told_are_refused(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.actors.analytics.queries.domain.MOST_ROWS", 2)
    ada, _ = await branches.person("ada")
    await tell(ada, *(new_event(f"e{number}", ada.now(), kind=f"kind{number}") for number in range(3)))
    await fold(branches)
    with pytest.raises(Invalid, match="more than 2 rows"):
        await ask_events(ada, dimensions=("kind",))


async def test_hours_are_sums_too_of_which_only_so_many_are_read(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 kinds an hour for twelve weeks were 400,000, which held up everybody for seconds."""
    monkeypatch.setattr("promptforge.actors.analytics.rollups.store.MOST_SUMS", 20)
    ada, _ = await branches.person("ada")
    begun = ada.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    for kind in ("first", "second"):
        hours = (new_event(f"{kind}{hour}", begun + timedelta(hours=hour), kind=kind) for hour in range(11))
        await tell(ada, *hours)
    await fold(branches)
    days = await ask_events(ada, dimensions=("kind",), bucket=Bucket.DAY)
    assert [row.measures["events"] for row in days.rows] == [11, 11], "two sums of 22 hours"
    with pytest.raises(Invalid, match="ask for a shorter time"):
        await ask_events(ada, dimensions=("kind",), bucket=Bucket.HOUR)
    only = (QueryFilter("kind", ("first",)),)
    assert len((await ask_events(ada, dimensions=("kind",), bucket=Bucket.HOUR, filters=only)).rows) == 11
    together = await ask_events(ada, bucket=Bucket.HOUR)
    assert [row.measures["events"] for row in together.rows] == [2] * 11, "hours of all kinds are sums of their own"
