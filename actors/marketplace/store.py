"""The stores of this feature and every index they declare."""

from __future__ import annotations

from promptforge.actors.marketplace.favourites import store as favourites
from promptforge.actors.marketplace.favourites.store import FavouriteStore
from promptforge.actors.marketplace.insights import views
from promptforge.actors.marketplace.insights.store import InsightStore
from promptforge.actors.marketplace.insights.views import ViewCounter
from promptforge.actors.marketplace.listings import store as listings
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.purchases import store as purchases
from promptforge.actors.marketplace.purchases.store import PurchaseStore
from promptforge.actors.marketplace.reports import store as reports
from promptforge.actors.marketplace.reports.store import ReportStore
from promptforge.actors.marketplace.reviews import store as reviews
from promptforge.actors.marketplace.reviews.store import ReviewStore
from promptforge.actors.marketplace.sealed import rulings as sealed_rulings
from promptforge.actors.marketplace.sealed import store as sealed
from promptforge.actors.marketplace.sealed.grounds import Grounds
from promptforge.actors.marketplace.sealed.rulings import RunsRulingStore
from promptforge.actors.marketplace.sealed.store import AccountStore
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = [
    "HELD",
    "INDEXES",
    "AccountStore",
    "FavouriteStore",
    "Grounds",
    "InsightStore",
    "ListingStore",
    "PurchaseStore",
    "ReportStore",
    "ReviewStore",
    "RunsRulingStore",
    "ViewCounter",
]

INDEXES: dict[str, tuple[Index, ...]] = {
    **listings.INDEXES,
    **purchases.INDEXES,
    **reviews.INDEXES,
    **reports.INDEXES,
    **favourites.INDEXES,
    **views.INDEXES,
    **sealed.INDEXES,
    **sealed_rulings.INDEXES,
}
HELD: dict[str, Held] = {
    **listings.HELD,
    **purchases.HELD,
    **reviews.HELD,
    **reports.HELD,
    **favourites.HELD,
    **views.HELD,
    **sealed.HELD,
    **sealed_rulings.HELD,
}
