"""The tables of docs/money.md are what the code posts."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptforge.actors.billing.ledger.holdings import Holdings
from tests.support.worked_examples import EXAMPLES, dispute_lost, refund_after_settlement, sale

DOCUMENT = Path(__file__).parents[3] / "docs" / "money.md"


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_document_shows_what_is_posted(title: str) -> None:
    _, _, rest = DOCUMENT.read_text().partition(f"### {title}\n")
    section = rest.partition("\n#")[0]
    assert EXAMPLES[title]().table() in section, "python -m tests.support.worked_examples prints the tables"


def balances(holdings: Holdings) -> dict[str, int]:
    names = ("granted", "purchased", "earned", "reserved", "debt")
    return {name: amount for name in names if (amount := getattr(holdings, name))}


def test_what_the_document_says_is_left_in_the_end_is_left() -> None:
    assert balances(sale().books.pages.users["carla"]) == {"granted": 4_250, "earned": 17_000}
    assert balances(refund_after_settlement().books.pages.users["carla"]) == {"debt": -10_000}
    assert balances(refund_after_settlement().books.pages.users["bruno"]) == {"purchased": 500_000}
    assert balances(dispute_lost().books.pages.users["bruno"]) == {"debt": -4_000}
    assert balances(dispute_lost().books.pages.users["carla"]) == {"earned": 3_400}
