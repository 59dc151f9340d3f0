"""Takes events, gives them to exports, and forgets them."""

from __future__ import annotations

from functools import partial

import anyio

from promptforge.actors.analytics.events.domain import check_events
from promptforge.actors.analytics.events.intake import Intake
from promptforge.actors.analytics.events.messages import (
    ForgetEvents,
    RecordedEvents,
    RecordEvents,
    ScanEvents,
    StoredEvent,
)
from promptforge.actors.analytics.events.store import EventStore, event_row
from promptforge.actors.analytics.rollups.messages import FoldEvents
from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.core.context import Context
from promptforge.core.pages import Scan
from promptforge.core.runtime import Actor, handles

CHECKED_HERE = 500
"""Properties that are looked through on the event loop, which takes 3 ms at most; thousands take 30."""


class EventsActor(Actor):
    name = "analytics_events"
    asks = ("rollups",)
    workers = 64  # a worker waits for the disk with its batch

    def __init__(self, store: EventStore, rollups: EventRollups) -> None:
        self._store = store
        self._rollups = rollups
        self._intake = Intake(store)

    @handles(RecordEvents)
    async def record(self, message: RecordEvents, context: Context) -> RecordedEvents:
        now = context.now()
        if sum(len(event.properties) for event in message.events) > CHECKED_HERE:
            await anyio.to_thread.run_sync(partial(check_events, message.events, now=now))
        else:
            check_events(message.events, now=now)
        rows = [event_row(context.user_id, event, now=now) for event in message.events]
        inserted = await self._intake.add(rows, now=now)
        return RecordedEvents(inserted, len(rows) - inserted)

    @handles(ScanEvents)
    async def scan(self, message: ScanEvents, context: Context) -> Scan[StoredEvent]:
        return await self._store.scan(message.user_id, message.after, message.limit)

    @handles(ForgetEvents)
    async def forget(self, message: ForgetEvents, context: Context) -> int:
        number = await self._store.forget(message.user_id)
        await context.ask(FoldEvents())  # who has read them before conflicts with this, and is over after it
        await self._rollups.forget(message.user_id)
        return number
