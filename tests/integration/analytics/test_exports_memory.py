"""An export takes the same memory however many rows it has; `make bench` (exports) says how much with a million."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from promptforge.actors.analytics.events.store import EVENTS, event_row
from promptforge.actors.analytics.exports import parquet
from promptforge.actors.analytics.exports.messages import (
    ExportFormat,
    ExportSource,
    GetExport,
    RequestExport,
    RunExport,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.analytics.telling import new_event
from tests.integration.marketplace.branches import Branches

pytestmark = pytest.mark.anyio

FEW, MANY = 3_000, 15_000
ROW_BYTES = 1_000
"""At least, of each row's text, and of what is read of it."""
PARTS = {f"part{one}": "x" * 200 for one in range(5)}


async def put_events(branches: Branches, owner: Context, number: int) -> None:
    now = owner.now()
    for first in range(0, number, 1000):
        rows = [
            event_row(owner.user_id, new_event(f"e{one:06}", now, properties=PARTS), now=now)
            for one in range(first, min(first + 1000, number))
        ]
        await branches.mongo.collection(EVENTS).insert_many(rows)


async def peak_bytes(branches: Branches, person: Context, form: ExportFormat, *, rows: int) -> int:
    """Of all that Python holds while it is written, above what there was before."""
    export = await person.ask(RequestExport(source=ExportSource.EVENTS, format=form))
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        system = branches.here.process.system
        patient = system.context(request_id="req_test", principal=person.principal, trusted=True, timeout_seconds=500)
        await patient.ask(RunExport(export_id=export.id))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (await person.ask(GetExport(export_id=export.id))).rows == rows
    return peak - before


@pytest.mark.parametrize("form", list(ExportFormat))
async def test_five_times_the_rows_take_no_more_memory(
    branches: Branches, monkeypatch: pytest.MonkeyPatch, form: ExportFormat
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 1_000)
    people = [(await branches.person(name, Role.SELLER))[0] for name in ("first", "ada", "bob")]
    numbers = (1, FEW, MANY)
    for person, number in zip(people, numbers, strict=True):
        await put_events(branches, person, number)
    _, few, many = [
        await peak_bytes(branches, person, form, rows=number) for person, number in zip(people, numbers, strict=True)
    ]  # what is loaded for the first is loaded
    assert many - few < (MANY - FEW) * ROW_BYTES / 4, (few, many)
