"""Counting what was found by its fields' values.

Values of several fields stand in the index as one, so that counting looks at each document twice and not seven times.
Documents that are known by number are counted without the index, and so is all that is permitted where no words are
looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tantivy

from promptforge.actors.search.messages import Facet, FacetCount, Offer, SearchDocument

FACETS = ("kind", "category", "licence", "sells", "price", "rating", "scorecard")
PACKS: dict[str, tuple[str, ...]] = {
    "shelved": ("kind", "category", "licence", "sells", "scorecard"),
    "banded": ("price", "rating"),
}
"""Fields of the index, and the facets that each has the values of."""
MOST_VALUES = 20
BANDS = (("free", 0), ("up_to_10", 10_000), ("up_to_50", 50_000), ("up_to_200", 200_000))
"""Of prices: up to so many millicredits."""
ABOVE = "above_200"
YES, NO = "yes", "no"
_MOST_PACKED = 2_000
_BETWEEN = "\x1f"
_WANTED = {pack: {"terms": {"field": pack, "size": _MOST_PACKED}} for pack in PACKS}
Values = tuple[str, ...]
"""One for each of `FACETS`; empty: it has none."""


def values_of(document: SearchDocument) -> Values:
    offer = document.offer
    if offer is None:
        return (document.kind.value, "", "", "", "", "", "")
    stars = str(offer.stars // 1000) if offer.stars else ""
    scorecard = YES if offer.scorecard else NO
    return (document.kind.value, offer.category, offer.licence, offer.sells, _price_band(offer), stars, scorecard)


def _price_band(offer: Offer) -> str:
    return next((name for name, most in BANDS if offer.price <= most), ABOVE)


def packed(values: Values) -> Mapping[str, str]:
    """By field of the index."""
    named = dict(zip(FACETS, values, strict=True))
    return {pack: _BETWEEN.join(named[facet] for facet in facets) for pack, facets in PACKS.items()}


def counted(searcher: tantivy.Searcher, query: tantivy.Query) -> Mapping[str, Any]:  # Any: JSON
    """How many have which packs."""
    answer: Mapping[str, Any] = searcher.aggregate(query, _WANTED)
    return answer


class Counts:
    """Adds up, and says what it has come to."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {facet: {} for facet in FACETS}

    def add_packed(self, answer: Mapping[str, Any]) -> None:
        """What `counted` answers."""
        for pack, facets in PACKS.items():
            for row in answer[pack]["buckets"]:
                self._add(zip(facets, row["key"].split(_BETWEEN), strict=True), int(row["doc_count"]))

    def add(self, counted: Iterable[tuple[Values, int]]) -> None:
        for values, count in counted:
            self._add(zip(FACETS, values, strict=True), count)

    def _add(self, values: Iterable[tuple[str, str]], count: int) -> None:
        for facet, value in values:
            if value:
                known = self._counts[facet]
                known[value] = known.get(value, 0) + count

    @property
    def total(self) -> int:
        """Each document has one kind."""
        return sum(self._counts["kind"].values())

    def told(self) -> tuple[Facet, ...]:
        """The most frequent first."""
        return tuple(
            Facet(facet, tuple(FacetCount(value, count) for value, count in _sorted(counts)))
            for facet, counts in self._counts.items()
            if counts
        )


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]
