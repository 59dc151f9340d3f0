"""How well search finds what is meant: nDCG@10 over a small labelled set, by words, by meaning, and by both.

`search_quality.json` has listings like those of the market, and queries with what they should find (3: just this, 2:
good, 1: related), paraphrases and typos among them. It is small and hand-written: good for seeing that a change of the
ranking made it better or worse, not for comparing engines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import log2
from pathlib import Path

import anyio

from promptforge.actors.search.engine import Request, Scope
from promptforge.actors.search.local.engine import LocalEngine
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import PUBLIC, Kind, Mode, SearchDocument

LABELLED = Path(__file__).with_name("search_quality.json")
DEPTH = 10


def gain(grades: list[int]) -> float:
    return sum((float(2**grade) - 1) / log2(place + 2) for place, grade in enumerate(grades[:DEPTH]))


def ndcg(found: list[str], wanted: Mapping[str, int]) -> float:
    """1 where what is wanted comes first, in the order of its grades."""
    return gain([wanted.get(one, 0) for one in found]) / gain(sorted(wanted.values(), reverse=True))


async def measure() -> dict[Mode, dict[str, float]]:
    """Mode → query → nDCG@10."""
    labelled = json.loads(LABELLED.read_text())
    now = datetime.now(UTC)
    documents = [
        SearchDocument(
            Kind.LISTING,
            identifier,
            PUBLIC,
            one["title"],
            now,
            summary=one["summary"],
            body=one["body"],
            tags=tuple(one["tags"]),
        )
        for identifier, one in labelled["documents"].items()
    ]
    engine, index = LocalEngine(), LocalIndex()
    engine.serving = index
    await index.put(documents)
    await index.commit()
    everybody = Scope(frozenset({PUBLIC}), frozenset(Kind))
    measured: dict[Mode, dict[str, float]] = {mode: {} for mode in Mode}
    for mode, values in measured.items():
        for query, wanted in labelled["queries"].items():
            found = await engine.find(Request(query, everybody, mode, limit=DEPTH))
            values[query] = ndcg([hit.document.id for hit in found.hits], wanted)
    return measured


def run() -> None:
    """Print the means, and the queries that each mode finds worst."""
    measured = anyio.run(measure)
    print(f"Search quality: nDCG@{DEPTH} over {len(measured[Mode.TEXT])} labelled queries")
    for mode, values in measured.items():
        worst = sorted(values, key=lambda query: values[query])[:5]
        told = ", ".join(f"{query} {values[query]:.2f}" for query in worst)
        print(f"  {mode:<9} {sum(values.values()) / len(values):.3f}   worst: {told}")
