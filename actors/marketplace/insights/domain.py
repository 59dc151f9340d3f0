"""How listings rank: formulas of counted sales, views and stars (docs/marketplace.md); and what was sold of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TREND_DAYS = 14
DECAY = 0.85
"""What a day counts of the day after it."""
VIEWS_PER_SALE = 100
MOST_VIEWS = 200
"""So many views of a day count at most: what can be had for nothing does not outweigh two sales."""
PRIOR_REVIEWS = 5
PRIOR_STARS = 3
SCALE = 1000


@dataclass(frozen=True, slots=True)
class Ranks:
    """What browsing sorts and filters by, in whole thousandths but for the number of sales."""

    trending: int = 0
    sales: int = 0
    rated: int = 0
    average: int = 0


@dataclass(frozen=True, slots=True)
class ListingSold:
    """What was sold of one listing on all days, or what was seen of it: one with both has two. In millicredits."""

    listing_id: str
    views: int = 0
    sales: int = 0
    gross: int = 0
    net: int = 0
    refunds: int = 0
    refunded_net: int = 0


def trending(sales: Mapping[int, int], views: Mapping[int, int]) -> int:
    """By how many days ago (0 is today): counted sales that stand, and views."""
    total = 0.0
    for age in range(TREND_DAYS):
        seen = min(views.get(age, 0), MOST_VIEWS) / VIEWS_PER_SALE
        total += DECAY**age * (sales.get(age, 0) + seen)
    return round(total * SCALE)


def rated(count: int, stars: int) -> int:
    """The average, as if five reviews with three stars had come first: one enthusiast makes no top listing."""
    return round((stars + PRIOR_REVIEWS * PRIOR_STARS) * SCALE / (count + PRIOR_REVIEWS)) if count else 0


def average(count: int, stars: int) -> int:
    return round(stars * SCALE / count) if count else 0
