"""Events of tests: told of, added up, and asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from promptforge.actors.analytics.events.messages import NewEvent, RecordedEvents, RecordEvents
from promptforge.actors.analytics.queries.messages import AnalyticsAnswer, QueryAnalytics, View
from promptforge.actors.analytics.rollups.messages import FoldEvents
from promptforge.core.context import Context
from tests.integration.marketplace.branches import Branches


def new_event(external_id: str, at: datetime, **fields: Any) -> NewEvent:
    return NewEvent(**{"external_id": external_id, "kind": "answer.accepted", "at": at, **fields})


async def tell(person: Context, *events: NewEvent) -> RecordedEvents:
    return await person.ask(RecordEvents(events=events))


async def fold(branches: Branches) -> int:
    return await branches.here.process.context().ask(FoldEvents())


async def ask_events(person: Context, **fields: Any) -> AnalyticsAnswer:
    day = person.now().replace(hour=0, minute=0, second=0, microsecond=0)
    asked = {
        "view": View.EVENTS,
        "measures": ("events", "value"),
        "since": day - timedelta(days=10),
        "until": day + timedelta(days=1),
    }
    return await person.ask(QueryAnalytics(**{**asked, **fields}))


async def number_of(person: Context) -> int:
    """How many events all sums together have."""
    rows = (await ask_events(person)).rows
    fine = (await ask_events(person, dimensions=("kind", "prompt_id", "variant"))).rows
    number = sum(int(row.measures["events"]) for row in rows)
    assert number == sum(int(row.measures["events"]) for row in fine), "both levels have each event"
    return number
