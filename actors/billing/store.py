"""The stores of this feature, and every index that they declare, for whoever puts a process together."""

from __future__ import annotations

from promptforge.actors.billing.checkouts import store as checkouts
from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.events import store as events
from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.ledger import store as ledger
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.core.mongo import Index

__all__ = ["INDEXES", "CheckoutStore", "EventStore", "LedgerAudit", "LedgerStore"]

INDEXES: dict[str, tuple[Index, ...]] = {**ledger.INDEXES, **checkouts.INDEXES, **events.INDEXES}
