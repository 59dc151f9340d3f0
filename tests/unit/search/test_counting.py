"""What is counted of all that is permitted, beside the same counted by the index of words."""

from __future__ import annotations

from random import Random

import pytest

from promptforge.actors.search.engine import Filters, Request
from promptforge.actors.search.local import queries
from promptforge.actors.search.local.facets import Counts, counted
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import Kind, SearchDocument
from tests.unit.search.documents import engine_of, listing, prompt, scope

pytestmark = pytest.mark.anyio
SCOPES = (
    scope(),
    scope("prj_1"),
    scope("prj_1", "prj_2", kinds=(Kind.PROMPT,)),
    scope(kinds=(Kind.LISTING,)),
    scope("prj_none"),
)
FILTERS = (
    Filters(),
    Filters(category="coding"),
    Filters(category="nothing"),
    Filters(licence="runs", max_price=50_000),
    Filters(min_price=0, max_price=0),
    Filters(min_price=10_001),
    Filters(min_stars=4_000, scorecard=True),
)


def some(rng: Random, first: int, number: int) -> list[SearchDocument]:
    found: list[SearchDocument] = []
    for at in range(first, first + number):
        if rng.random() < 0.2:
            found.append(prompt(f"p{at}", "Mine", f"prj_{rng.randrange(3)}"))
            continue
        offer = {
            "offer_price": rng.choice((0, 10_000, 10_001, 50_000, 200_000, 999_000)),
            "offer_stars": rng.choice((0, 1_000, 3_999, 4_000, 5_000)),
            "offer_category": rng.choice(("writing", "coding", "data")),
            "offer_licence": rng.choice(("source", "runs")),
            "offer_scorecard": rng.random() < 0.3,
        }
        found.append(listing(f"l{at}", "Theirs", **offer))
    return found


def by_the_index(index: LocalIndex, request: Request) -> Counts:
    counts = Counts()
    clauses = queries.permitted(request.scope, request.filters)
    counts.add_packed(counted(index.words.searcher(), queries.within(clauses)))
    return counts


@pytest.mark.parametrize("seed", range(3))
async def test_both_ways_count_the_same_whatever_is_written_and_removed(seed: int) -> None:
    rng = Random(seed)
    engine, index = await engine_of(*some(rng, 0, 1_500))
    for _ in range(3):
        await index.put(some(rng, rng.randrange(1_500), 400))
        await index.remove(Kind.LISTING, [f"l{rng.randrange(2_000)}" for _ in range(200)])
        await index.remove(Kind.PROMPT, [f"p{rng.randrange(2_000)}" for _ in range(50)])
        await index.commit()
        for limit in (0, 5):
            for who in SCOPES:
                for filters in FILTERS:
                    request = Request("", who, filters=filters, limit=limit)
                    found, expected = await engine.find(request), by_the_index(index, request)
                    assert found.facets == expected.told(), request
                    assert found.total == expected.total
