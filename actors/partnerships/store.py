"""The stores of this feature, every index they declare and what they hold of people."""

from __future__ import annotations

from promptforge.actors.partnerships.partners import history, store
from promptforge.actors.partnerships.partners.history import PartnerHistory
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = ["HELD", "INDEXES", "PartnerHistory", "PartnerStore"]

INDEXES: dict[str, tuple[Index, ...]] = {**store.INDEXES, **history.INDEXES}
HELD: dict[str, Held] = {**store.HELD, **history.HELD}
