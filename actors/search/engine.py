"""What finds: the interface between this feature and a search engine, in words of neither.

An engine that lives in the process (`local`) is one; Atlas Search fits too: a `Request` is one `$search` stage, whose
`compound.filter` holds the audiences and filters, its facets are `$searchMeta`, and there is nothing to write where the
engine reads the collections itself (docs/search.md). What an engine must hold to: documents of other audiences than the
request's take no part in anything, neither in hits nor in counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from promptforge.actors.search.messages import Facet, Highlight, Kind, Match, Mode, Order, SearchDocument

MOST_HITS = 500
"""That can be paged through."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a document must be, beside permitted. Prices in millicredits, stars in thousandths."""

    category: str | None = None
    tag: str | None = None
    licence: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    min_stars: int | None = None
    scorecard: bool = False
    """Only what carries one."""


class ShownOffer(NamedTuple):
    """As in a document's `Offer`."""

    category: str
    licence: str
    sells: str
    price: int
    stars: int
    scorecard: bool


class Shown(NamedTuple):
    """What is shown of a document; in tuples, of which many are made for each page."""

    kind: Kind
    id: str
    audience: str
    title: str
    changed_at: datetime
    summary: str
    tags: tuple[str, ...]
    names: tuple[str, ...]
    offer: ShownOffer | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Who may be shown what: these kinds, of these audiences. Nothing outside of it is looked at."""

    audiences: frozenset[str]
    kinds: frozenset[Kind]

    def sees(self, document: Shown) -> bool:
        return document.audience in self.audiences and document.kind in self.kinds


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind this document, which had this place (counted from 1)."""

    id: str
    number: int


@dataclass(frozen=True, slots=True)
class Request:
    text: str
    scope: Scope
    mode: Mode = Mode.HYBRID
    filters: Filters = field(default_factory=Filters)
    order: Order = Order.RELEVANCE
    limit: int = 20
    after: Place | None = None
    facets: bool = True
    marked: bool = True
    """Whether it is shown what was meant; otherwise there are no highlights."""


@dataclass(frozen=True, slots=True)
class Hit:
    document: Shown
    highlights: tuple[Highlight, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Found:
    """One page. `last` is where the next one begins; None where there is none."""

    hits: tuple[Hit, ...]
    last: Place | None
    total: int
    facets: tuple[Facet, ...]
    matched: Match


class Engine(Protocol):
    """Answers searches. Raises `Unavailable` where it cannot."""

    async def find(self, request: Request) -> Found: ...

    async def suggest(self, text: str, scope: Scope, limit: int) -> Sequence[Hit]:
        """What continues the text, the likeliest first; the highlights are of the titles."""
        ...


class Writer(Protocol):
    """Takes in what has changed. One at a time writes."""

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        """New ones, and others in the place of those with the same kind and id."""
        ...

    async def remove(self, kind: Kind, ids: Sequence[str]) -> None: ...

    async def commit(self) -> None:
        """From now on what was put is found."""
        ...
