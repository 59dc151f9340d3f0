"""Documents for tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from promptforge.actors.search.engine import Request, Scope
from promptforge.actors.search.local.engine import LocalEngine
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import PUBLIC, Kind, Mode, Offer, SearchDocument

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
OFFER = Offer(
    "writing", "source", "prompt", 10_000, 4_200, scorecard=False, published_at=NOW, trending=0, sales=0, rated=0
)


def listing(identifier: str, title: str, **more: Any) -> SearchDocument:
    """`offer_…` are fields of the offer."""
    offered = {name.removeprefix("offer_"): more.pop(name) for name in list(more) if name.startswith("offer_")}
    return SearchDocument(Kind.LISTING, identifier, PUBLIC, title, NOW, offer=replace(OFFER, **offered), **more)


def prompt(identifier: str, title: str, project: str, **more: Any) -> SearchDocument:
    return SearchDocument(Kind.PROMPT, identifier, project, title, NOW, **more)


def scope(*projects: str, kinds: Sequence[Kind] = tuple(Kind)) -> Scope:
    return Scope(frozenset({PUBLIC, *projects}), frozenset(kinds))


async def engine_of(*documents: SearchDocument) -> tuple[LocalEngine, LocalIndex]:
    engine, index = LocalEngine(), LocalIndex()
    engine.serving = index
    await index.put(documents)
    await index.commit()
    return engine, index


async def ids(engine: LocalEngine, text: str, *projects: str, mode: Mode = Mode.TEXT) -> list[str]:
    found = await engine.find(Request(text, scope(*projects), mode))
    return [hit.document.id for hit in found.hits]
