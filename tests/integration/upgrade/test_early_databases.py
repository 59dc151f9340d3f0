"""Databases of this service's first days."""

from __future__ import annotations

import pytest

from promptforge.core.mongo import Index, Mongo, compare_indexes, ensure_indexes, run_migrations
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS

pytestmark = pytest.mark.anyio

RESULTS = "evaluation_results"


@pytest.mark.unused_database
async def test_the_index_that_results_of_evaluations_had_is_dropped(mongo: Mongo) -> None:
    declared = {RESULTS: INDEXES[RESULTS]}
    await ensure_indexes(mongo, {RESULTS: (Index((("evaluation_id", 1), ("item_id", 1)), unique=True),)})
    await ensure_indexes(mongo, declared)
    assert [(one.index, one.what) for one in await compare_indexes(mongo, declared)] == [
        ("evaluation_id_1_item_id_1", "extra")
    ]
    await run_migrations(mongo, MIGRATIONS)
    assert await compare_indexes(mongo, declared) == []
