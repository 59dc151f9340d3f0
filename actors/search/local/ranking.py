"""The order of hits: by words, by meaning, or both fused by their ranks; and which of them are on a page.

Ranks are fused reciprocally (Cormack, Clarke, Büttcher 2009): a hit counts 1 / (60 + rank) for each list that it is in.
Scores of words and of meanings are of different kinds and cannot be added; ranks can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from promptforge.actors.search.engine import MOST_HITS

RANK_CONSTANT = 60
MEANING_WEIGHT = 0.7
"""What the order by meaning counts of the order by words, where all words were found; otherwise it counts as much."""


def fused(by_words: Sequence[int], by_meaning: Sequence[int], *, all_words: bool) -> list[int]:
    """Numbers of documents, the best first."""
    scores: dict[int, float] = defaultdict(float)
    for rank, number in zip(count(1), by_words):
        scores[number] += 1 / (RANK_CONSTANT + rank)
    weight = MEANING_WEIGHT if all_words else 1.0
    for rank, number in zip(count(1), by_meaning):
        scores[number] += weight / (RANK_CONSTANT + rank)
    return sorted(scores, key=scores.__getitem__, reverse=True)  # of equals the one that words found first


def begin(ranked: Sequence[int], seen: int | None, place: int) -> int:
    """Where the page begins: behind what was seen last, wherever it is by now; where it is gone, at its place."""
    if place == 0:
        return 0
    try:
        return ranked.index(seen) + 1 if seen is not None else place - 1
    except ValueError:
        return place - 1


def reachable(total: int) -> int:
    return min(total, MOST_HITS)
