"""What it costs to find near-duplicates among 100,000 approved texts, beside comparing with every one of them.

The texts are made up: random vectors, and random passages of 120 words. Each search is for a copy within a longer text
that means something else, which only its passages give away; how many are missed is in the title.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import numpy as np
from numpy.typing import NDArray

from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint, fingerprint
from promptforge.actors.moderation.duplicates.index import DuplicateIndex
from promptforge.actors.moderation.duplicates.looking import Duplicates
from promptforge.actors.moderation.duplicates.store import FINGERPRINTS, INDEXES, FingerprintStore
from promptforge.core.mongo import Mongo, ensure_indexes
from tests.bench.table import Row, print_rows
from tests.support.mongo import shared_mongod

TEXTS = 100_000
SEARCHES = 60
PASSAGES = 117
BATCH = 2_000


def _made(rng: np.random.Generator) -> Fingerprint:
    vector = rng.standard_normal(256).astype(np.float32)
    passages = np.sort(rng.integers(0, 2**63, PASSAGES, np.uint64) * np.uint64(2))
    return Fingerprint(vector / np.linalg.norm(vector), passages)


def _copy(rng: np.random.Generator, original: Fingerprint) -> Fingerprint:
    """Within a text twice as long that means something else."""
    other = _made(rng)
    return Fingerprint(other.vector, np.union1d(original.passages, other.passages))


async def _fill(mongo: Mongo, known: list[Fingerprint]) -> None:
    await ensure_indexes(mongo, {FINGERPRINTS: INDEXES[FINGERPRINTS]})
    for batch in _batches(known):
        await mongo.collection(FINGERPRINTS).insert_many(batch)


def _batches(known: list[Fingerprint]) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(known), BATCH):
        yield [
            {
                "_id": f"lst_{number}:1",
                "listing_id": f"lst_{number}",
                "seller_id": "usr_1",
                "approved": True,
                "code": one.code.tobytes(),
                "samples": one.samples.tobytes(),
                "vector": one.vector.astype(np.float16).tobytes(),
                "passages": one.passages.tobytes(),
            }
            for number, one in enumerate(known[start : start + BATCH], start)
        ]


def _naive(vectors: NDArray[np.float32], known: list[Fingerprint], wanted: Fingerprint) -> None:
    """All vectors, exactly, and the passages of every text."""
    np.argmax(vectors @ wanted.vector)
    passages = set(wanted.passages.tolist())
    max(range(len(known)), key=lambda number: len(passages.intersection(known[number].passages.tolist())))


def _milliseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1000


async def _measure(url: str) -> None:
    rng = np.random.default_rng(20261126)
    known = [_made(rng) for _ in range(TEXTS)]
    mongo = await Mongo.connect(url, "duplicates_bench")
    await _fill(mongo, known)
    index = DuplicateIndex(lambda: True)
    looking = Duplicates(FingerprintStore(mongo), index)
    began = time.perf_counter()
    await looking.catch_up()
    reading = _milliseconds(began)
    took: dict[str, list[float]] = {"all": [], "candidates": [], "search": [], "fingerprint": []}
    missed = 0
    vectors = np.array([one.vector for one in known])
    text = "Summarise {{article}} in five lines for people in a hurry. " * 40
    fingerprint(text)  # the words' vectors are loaded
    for number in range(SEARCHES):
        original = int(rng.integers(TEXTS))
        wanted = _copy(rng, known[original])
        began = time.perf_counter()
        index.candidates(wanted)
        took["candidates"].append(_milliseconds(began))
        began = time.perf_counter()
        found = await looking.find([wanted], listing_id="lst_new", seller_id="usr_2")
        took["search"].append(_milliseconds(began))
        missed += f"lst_{original}" not in {finding.listing_id for finding in found}
        began = time.perf_counter()
        fingerprint(text)
        took["fingerprint"].append(_milliseconds(began))
        if number < 3:
            began = time.perf_counter()
            _naive(vectors, known, wanted)
            took["all"].append(_milliseconds(began))
    mongo.close()
    print_rows(
        f"Near-duplicates among {TEXTS:,} approved texts ({missed} of {SEARCHES} copies missed)",
        [
            Row("compare with every one", took["all"], "ms"),
            Row("candidates, in memory", took["candidates"], "ms", "compare with every one"),
            Row("search, candidates read and compared", took["search"], "ms", "compare with every one", "≤ 50 ms"),
            Row("fingerprint of 2,400 characters", took["fingerprint"], "ms"),
            Row("read the whole index", [reading], "ms"),
        ],
    )


def run() -> None:
    """Print what each step takes."""
    with shared_mongod() as server:
        anyio.run(_measure, server.url)
