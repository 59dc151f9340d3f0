"""How listings rank: each formula as docs/marketplace.md explains it."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.insights.domain import TREND_DAYS, average, rated, trending


def test_a_sale_of_today_is_one_and_fades_by_the_day() -> None:
    assert trending({0: 1}, {}) == 1000
    assert trending({1: 1}, {}) == 850
    assert trending({0: 2, 1: 1}, {}) == 2850
    assert trending({TREND_DAYS: 100}, {TREND_DAYS: 100}) == 0
    assert [trending({age: 1}, {}) for age in range(TREND_DAYS)] == sorted(
        (trending({age: 1}, {}) for age in range(TREND_DAYS)), reverse=True
    )


def test_views_help_a_little_and_never_more_than_two_sales_a_day() -> None:
    assert trending({}, {0: 100}) == 1000
    assert trending({}, {0: 200}) == trending({}, {0: 1_000_000}) == trending({0: 2}, {}) == 2000


def test_one_enthusiast_makes_no_top_listing() -> None:
    assert rated(0, 0) == 0
    assert rated(1, 5) == round(20 / 6 * 1000)
    assert rated(1, 5) < rated(40, 40 * 4 + 10) < rated(400, 400 * 5) < 5000
    assert rated(10, 10) < rated(1, 3), "what is bad ranks below what is middling"


@pytest.mark.parametrize(("count", "stars", "expected"), [(0, 0, 0), (2, 9, 4500), (3, 13, 4333)])
def test_the_average_is_in_thousandths(count: int, stars: int, expected: int) -> None:
    assert average(count, stars) == expected
