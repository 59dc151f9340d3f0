"""Search: one box over listings, people, and one's own projects, prompts, packages and purchases; and what is searched.

A feature hands over plain documents (`SearchDocument`), each with its audience. Who searches finds what is public, what
is in projects that they are a member of at that moment, and what they publish or have bought; nothing else counts: not
in totals, not in facets, not in suggestions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.amounts import CreditAmount
from promptforge.core.messages import Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role

PUBLIC = "public"
"""The audience of what everybody may find."""
MOST_CHARACTERS = 300
"""Of what is searched for."""


class Kind(StrEnum):
    LISTING = "listing"
    PERSON = "person"
    PROJECT = "project"
    PROMPT = "prompt"
    PACKAGE = "package"
    PURCHASE = "purchase"
    """What one has bought and owns, whatever became of its listing."""


class Mode(StrEnum):
    """`text` goes by words, `semantic` by meaning, `hybrid` by both: what either ranks high is high."""

    TEXT = "text"
    SEMANTIC = "semantic"
    HYBRID = "hybrid"


class Match(StrEnum):
    """How words were matched: each as it stands (in any of its forms), most of them or such that are spelled alike, or
    any of them. A wider way is gone where a narrower one found next to nothing.
    """

    EVERYTHING = "everything"
    """There were no words to look for."""
    ALL_WORDS = "all_words"
    SIMILAR_WORDS = "similar_words"
    SOME_WORDS = "some_words"


class IndexState(StrEnum):
    """`warming`: the index is being read from the database, so something may be missing, or be as it was before.

    `behind`: for some seconds nothing was heard of changes, or something that was has not been taken in.
    """

    READY = "ready"
    WARMING = "warming"
    BEHIND = "behind"


class Order(StrEnum):
    RELEVANCE = "relevance"
    NEW = "new"
    PRICE = "price"
    TOP_RATED = "top_rated"
    BEST_SELLING = "best_selling"
    TRENDING = "trending"


# What features hand over


@dataclass(frozen=True, slots=True)
class Offer:
    """What a document on the market has besides: `price` in millicredits, `stars` in thousandths, `sold_at` the ranks
    that browsing sorts by. `sells` is what it is of, such as `prompt`.
    """

    category: str
    licence: str
    sells: str
    price: int
    stars: int
    scorecard: bool
    published_at: datetime
    trending: int
    sales: int
    rated: int


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """What is found of a thing, and by whom: `audience` is `public`, or the id of a project, whose members may, or of a
    person, or one for all who have bought something.

    `names` are found like the title, such as the handle of who offers it; `body` is searched and not shown.
    """

    kind: Kind
    id: str
    audience: str
    title: str
    changed_at: datetime
    summary: str = ""
    body: str = ""
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents in the order of their ids; `next` is where to go on, null at the end."""

    items: tuple[SearchDocument, ...]
    next: str | None


# Searching

SearchedText = Annotated[str, Len(0, MOST_CHARACTERS), Field(examples=["summaries of long articles"])]
Tag = Annotated[str, Len(1, 40)]
Word = Annotated[str, Len(1, 40)]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a text; `hit` is whether it is what was looked for. Plain text: to be shown, never to be run."""

    text: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Highlight:
    """A field of a hit in pieces, which together are the field, or the part of it that has the hits."""

    field: str
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True)
class OfferView:
    """What a listing that was found costs, in credits, and how it is rated, in stars; null: not yet."""

    category: str
    licence: str
    sells: str
    price: str
    stars: float | None
    scorecard: bool


@dataclass(frozen=True, slots=True)
class SearchHit:
    """`project_id` is that of what only its members find; null for everything else."""

    kind: Kind
    id: str
    title: str
    summary: str
    tags: tuple[str, ...]
    names: tuple[str, ...]
    project_id: str | None
    offer: OfferView | None
    changed_at: datetime
    highlights: tuple[Highlight, ...]


@dataclass(frozen=True, slots=True)
class FacetCount:
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """How many of what was found have which value of a field, the most frequent first."""

    field: str
    values: tuple[FacetCount, ...]


@dataclass(frozen=True, slots=True)
class SearchPage(Page[SearchHit]):
    """`total` and `facets` count what you may find, on all pages. `mode` and `matched` say how it was found."""

    total: int = 0
    facets: tuple[Facet, ...] = ()
    mode: Mode = Mode.HYBRID
    matched: Match = Match.EVERYTHING
    state: IndexState = IndexState.READY


@public
class Search(Query[SearchPage]):
    """Search listings and people, and where you are signed in your projects, prompts, packages and purchases.

    Without `q` what is newest comes first. Words are found in any of their forms, and where next to nothing is, spelled
    a little differently. Quotes, operators and wildcards mean nothing. Of the hits the first 500 can be paged through;
    behind them is 422 `too_deep`. Prices are in credits.
    """

    q: SearchedText = ""
    kind: Kind | None = None
    mode: Mode = Mode.HYBRID
    category: Word | None = None
    tag: Tag | None = None
    licence: Word | None = None
    min_price: CreditAmount | None = None
    max_price: CreditAmount | None = None
    min_rating: Annotated[float, Ge(1), Le(5)] | None = None
    project_id: Annotated[str, Len(1, 100)] | None = None
    facets: bool = True
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    kind: Kind
    id: str
    title: str
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True)
class SuggestionsView:
    items: tuple[Suggestion, ...]
    state: IndexState = IndexState.READY


@public
class Suggest(Query[SuggestionsView]):
    """Titles and names that continue what is being typed; where there are none, such that are spelled alike."""

    q: Annotated[str, Len(1, MOST_CHARACTERS), Field(examples=["summar"])]
    kind: Kind | None = None
    limit: Annotated[int, Ge(1), Le(20)] = 8


# For operators


@dataclass(frozen=True, slots=True)
class SearchIndexView:
    """The index of the answering process. `generation` counts how often it was read anew, `commits` how often this one
    was written to; `waiting` is how many changes it has heard of and not taken in yet, `oldest_seconds` how long ago
    the first of them was heard of (0: none; those that only change an order do not count), `lag_seconds` how long the
    last ones took, `looked` how often an answer was looked for and not remembered, `bytes` about what vectors take.
    """

    state: IndexState
    schema: str
    generation: int
    commits: int
    documents: dict[str, int]
    waiting: int
    oldest_seconds: float
    lag_seconds: float
    looked: int
    bytes: int
    built_at: datetime | None
    build_seconds: float | None


@requires(Role.OPERATOR, Role.ADMIN, scope="operations:read")
class GetSearchIndex(Query[SearchIndexView]):
    """Show the search index of the answering process: how far it is, and how fresh."""


# For other features


@dataclass(frozen=True, slots=True)
class FoundListings:
    """Ids in order, and what was counted; see `SearchPage`."""

    ids: tuple[str, ...]
    next: str | None
    total: int
    facets: tuple[Facet, ...]
    matched: Match
    state: IndexState


@internal
class FindListings(Query[FoundListings]):
    """Find published listings by words and filters, in an order; `limit` 0 only counts. Prices in millicredits."""

    q: str = ""
    order: Order = Order.RELEVANCE
    category: str | None = None
    tag: str | None = None
    licence: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    min_stars: int | None = None
    scorecard: bool = False
    facets: bool = True
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
