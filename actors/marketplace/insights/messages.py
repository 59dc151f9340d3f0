"""How a seller's listings do, what is how popular, and which categories there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from annotated_types import Ge, Le

from promptforge.actors.marketplace.messages import Category, PurchaseView, SaleView
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import Scan
from promptforge.core.principal import Role


@dataclass(frozen=True, slots=True)
class CategoryView:
    """How many published listings a category has."""

    category: Category
    listings: int


@dataclass(frozen=True, slots=True)
class CategoriesView:
    categories: tuple[CategoryView, ...]


@dataclass(frozen=True, slots=True)
class SalesSum:
    """Sales in credits, as they were made: `gross` is what buyers paid, `net` what the seller got of it.

    Of these, `refunds` were taken back later, and `refunded_net` with them. `conversion` is sales by views.
    """

    views: int
    sales: int
    gross: str
    net: str
    refunds: int
    refunded_net: str
    conversion: float | None


@dataclass(frozen=True, slots=True)
class RunSum:
    """Runs of sealed prompts that earned something: how many, and your shares of them less the platform's fee.

    Of these, `refunds` were taken back later because their payment was disputed, and `refunded_net` with them.
    """

    runs: int
    net: str
    refunds: int
    refunded_net: str


@dataclass(frozen=True, slots=True)
class DaySum:
    """`net` is that of the sales, `runs_net` what runs earned besides."""

    day: date
    views: int
    sales: int
    net: str
    runs: int = 0
    runs_net: str = "0"


@dataclass(frozen=True, slots=True)
class ListingSum:
    """Sales of a listing, and runs of it."""

    listing_id: str
    title: str
    total: SalesSum
    runs: RunSum


@dataclass(frozen=True, slots=True)
class SellerDashboard:
    """How your listings did on these days (UTC): all sales together, all runs together, the ten listings that earned
    most by both, and day by day.
    """

    since: date
    until: date
    total: SalesSum
    runs: RunSum
    top: tuple[ListingSum, ...]
    days: tuple[DaySum, ...]


@public
class ListCategories(Query[CategoriesView]):
    """List the categories with how many listings each has; counted at most every half minute."""


@requires(Role.SELLER, scope="listings:read")
class GetSellerDashboard(Query[SellerDashboard]):
    """Read how your listings did on the last `days`, today among them."""

    days: Annotated[int, Ge(1), Le(366)] = 30


@dataclass(frozen=True, slots=True)
class ListingDay:
    """What was sold of one listing on one day, or what was seen of it: a day with both has two. In millicredits.

    Of all listings together, where they were not told apart: they have no id then.
    """

    listing_id: str
    day: date
    views: int = 0
    sales: int = 0
    gross: int = 0
    net: int = 0
    refunds: int = 0
    refunded_net: int = 0


@internal
class SumSales(Query[tuple[ListingDay, ...]]):
    """How each of a seller's listings did on the days (UTC) from `since` to before `until`; or all of them together."""

    seller_id: str
    since: datetime
    until: datetime
    by_listing: bool = True


@dataclass(frozen=True, slots=True)
class DayViews:
    day: date
    views: int


@internal
class SumViews(Query[tuple[DayViews, ...]]):
    """How often listings were seen, all together, on the days (UTC) from `since` to before `until`."""

    since: datetime
    until: datetime


@internal
class ScanSales(Query[Scan[SaleView]]):
    """A seller's sales, newest first; nothing in them says who bought."""

    seller_id: str
    after: str | None = None
    limit: int = 1000


@internal
class ScanPurchases(Query[Scan[PurchaseView]]):
    """A buyer's purchases, newest first."""

    buyer_id: str
    after: str | None = None
    limit: int = 1000


@internal
@job(timeout_seconds=600)
class RankListings(Command[int]):
    """Work out how published listings rank for browsing (docs/marketplace.md); answers how many ranks changed."""
