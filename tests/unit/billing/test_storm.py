"""While many events are being acknowledged, applying waits, but never for long; in virtual time."""

from __future__ import annotations

import anyio

from promptforge.actors.billing.events.recording import PATIENCE_SECONDS, STORM_GROUP, STORM_SECONDS, Storm
from tests.support.virtual_time import virtual


async def seconds_held(storm: Storm) -> float:
    started = anyio.current_time()
    await storm.pass_by()
    return anyio.current_time() - started


@virtual
async def test_few_events_hold_nothing_up() -> None:
    storm = Storm()
    storm.note(STORM_GROUP - 1)
    assert await seconds_held(storm) == 0


@virtual
async def test_applying_waits_until_the_storm_is_over() -> None:
    storm = Storm()
    storm.note(STORM_GROUP)
    assert await seconds_held(storm) >= STORM_SECONDS * 0.9


@virtual
async def test_a_storm_that_does_not_end_holds_an_event_up_for_a_while_only() -> None:
    storm = Storm()

    async def rage() -> None:
        while True:
            storm.note(100)
            await anyio.sleep(STORM_SECONDS / 4)

    async with anyio.create_task_group() as tasks:
        storm.note(100)  # whichever of the two tasks runs first
        tasks.start_soon(rage)
        assert PATIENCE_SECONDS * 0.9 <= await seconds_held(storm) <= PATIENCE_SECONDS * 1.1
        tasks.cancel_scope.cancel()
