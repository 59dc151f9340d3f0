"""The stores of this feature and every index they declare."""

from __future__ import annotations

from promptforge.actors.analytics.events import store as events
from promptforge.actors.analytics.events.store import EventStore
from promptforge.actors.analytics.exports import store as exports
from promptforge.actors.analytics.exports.store import ExportStore
from promptforge.actors.analytics.market import store as market
from promptforge.actors.analytics.market.store import MarketStore
from promptforge.actors.analytics.rollups import store as rollups
from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = ["HELD", "INDEXES", "EventRollups", "EventStore", "ExportStore", "MarketStore"]

INDEXES: dict[str, tuple[Index, ...]] = {**events.INDEXES, **rollups.INDEXES, **exports.INDEXES, **market.INDEXES}
HELD: dict[str, Held] = {**events.HELD, **rollups.HELD, **exports.HELD, **market.HELD}
