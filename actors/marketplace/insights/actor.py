"""Categories, ranks and dashboards; and the loop that writes the views."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.billing.figures.messages import SumRunIncome
from promptforge.actors.marketplace.insights.dashboard import best, dashboard
from promptforge.actors.marketplace.insights.domain import Ranks, average, rated, trending
from promptforge.actors.marketplace.insights.messages import (
    CategoriesView,
    CategoryView,
    DayViews,
    GetSellerDashboard,
    ListCategories,
    ListingDay,
    RankListings,
    ScanPurchases,
    ScanSales,
    SellerDashboard,
    SumSales,
    SumViews,
)
from promptforge.actors.marketplace.insights.store import InsightStore, Ranked, Tally
from promptforge.actors.marketplace.insights.views import ViewCounter, day_of
from promptforge.actors.marketplace.messages import Category, PurchaseView, SaleView
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Scan
from promptforge.core.runtime import Actor, handles

AT_ONCE = 500
COUNTED_FOR_SECONDS = 30.0


class InsightsActor(Actor):
    name = "insights"
    asks = ("figures",)

    def __init__(self, store: InsightStore, views: ViewCounter) -> None:
        self._store = store
        self._views = views
        self._categories: tuple[float, CategoriesView] | None = None

    async def run(self, context: Context) -> None:
        await self._views.run()

    async def stop(self) -> None:
        await self._views.flush()

    @handles(ListCategories)
    async def list_categories(self, message: ListCategories, context: Context) -> CategoriesView:
        now = context.system.monotonic()
        if self._categories is None or now - self._categories[0] > COUNTED_FOR_SECONDS:
            counts = [CategoryView(one, await self._store.count_published(one)) for one in Category]
            self._categories = now, CategoriesView(tuple(counts))
        return self._categories[1]

    @handles(GetSellerDashboard)
    async def get_dashboard(self, message: GetSellerDashboard, context: Context) -> SellerDashboard:
        today = day_of(context.now())
        since = today - timedelta(days=message.days - 1)
        until = today + timedelta(days=1)
        seller_id = context.user_id
        rows, sold = await self._store.sums_of_seller(seller_id, since=since, until=until)
        income = await context.ask(SumRunIncome(seller_id=seller_id, since=since, until=until))
        top = best(sold, income)
        titles = await self._store.titles(list(top))
        return dashboard(rows, income, top, titles, since=since.date(), until=today.date())

    @handles(SumSales)
    async def sum_sales(self, message: SumSales, context: Context) -> tuple[ListingDay, ...]:
        found = await self._store.days_of_seller(
            message.seller_id, since=message.since, until=message.until, by_listing=message.by_listing
        )
        return tuple(found)

    @handles(SumViews)
    async def sum_views(self, message: SumViews, context: Context) -> tuple[DayViews, ...]:
        return tuple(await self._store.views_by_day(since=message.since, until=message.until))

    @handles(ScanSales)
    async def scan_sales(self, message: ScanSales, context: Context) -> Scan[SaleView]:
        cursor = Cursor.decode_optional(message.after)
        page = await self._store.purchases.list_sold(message.seller_id, cursor=cursor, limit=message.limit)
        total = await self._store.count(seller_id=message.seller_id) if cursor is None else None
        return Scan(page.items, page.next, total)

    @handles(ScanPurchases)
    async def scan_purchases(self, message: ScanPurchases, context: Context) -> Scan[PurchaseView]:
        cursor = Cursor.decode_optional(message.after)
        page = await self._store.purchases.list_bought(message.buyer_id, cursor=cursor, limit=message.limit)
        total = await self._store.count(buyer_id=message.buyer_id) if cursor is None else None
        return Scan(tuple(one.view() for one in page.items), page.next, total)

    @handles(RankListings)
    async def rank(self, message: RankListings, context: Context) -> int:
        """A batch at a time, in flat memory; only what changed is written."""
        changed, after = 0, ""
        while listings := await self._store.list_published(after, AT_ONCE):
            tallies = await self._store.tally([one.id for one in listings], now=context.now())
            ranked = [(one, _ranks_of(one, tallies.get(one.id, Tally()))) for one in listings]
            differing = [(one, ranks) for one, ranks in ranked if ranks != one.ranks]
            if differing:
                await self._store.write_ranks(differing)
            changed, after = changed + len(differing), listings[-1].id
        return changed


def _ranks_of(listing: Ranked, tally: Tally) -> Ranks:
    return Ranks(
        trending=trending(tally.sales_by_age, tally.views_by_age),
        sales=tally.sales,
        rated=rated(listing.rating_count, listing.rating_stars),
        average=average(listing.rating_count, listing.rating_stars),
    )
