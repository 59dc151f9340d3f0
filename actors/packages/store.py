"""The stores of this feature and every index they declare."""

from __future__ import annotations

from promptforge.actors.packages.installing import store as installing
from promptforge.actors.packages.installing.store import InstallStore
from promptforge.actors.packages.registry import store as registry
from promptforge.actors.packages.registry.store import PackageStore
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = ["HELD", "INDEXES", "InstallStore", "PackageStore"]

INDEXES: dict[str, tuple[Index, ...]] = {**registry.INDEXES, **installing.INDEXES}
HELD: dict[str, Held] = {**registry.HELD, **installing.HELD}
