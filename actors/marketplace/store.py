"""The stores of this feature and every index they declare."""

from __future__ import annotations

from promptforge.actors.marketplace.listings import store as listings
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.purchases import store as purchases
from promptforge.actors.marketplace.purchases.store import PurchaseStore
from promptforge.core.mongo import Index

__all__ = ["INDEXES", "ListingStore", "PurchaseStore"]

INDEXES: dict[str, tuple[Index, ...]] = {**listings.INDEXES, **purchases.INDEXES}
