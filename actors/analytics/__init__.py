"""What happened and what came of it, in sums: events of your own, runs, sales and views."""

from promptforge.actors.analytics.events.actor import EventsActor
from promptforge.actors.analytics.events.messages import RecordEvents
from promptforge.actors.analytics.queries.actor import QueriesActor
from promptforge.actors.analytics.queries.messages import GetDashboard, QueryAnalytics
from promptforge.actors.analytics.rollups.actor import RollupsActor
from promptforge.actors.analytics.rollups.messages import FoldEvents

__all__ = [
    "EventsActor",
    "FoldEvents",
    "GetDashboard",
    "QueriesActor",
    "QueryAnalytics",
    "RecordEvents",
    "RollupsActor",
]
