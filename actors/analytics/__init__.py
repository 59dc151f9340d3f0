"""What happened and what came of it, in sums: events of your own, runs, sales and views."""

from promptforge.actors.analytics.events.actor import EventsActor
from promptforge.actors.analytics.events.messages import RecordEvents
from promptforge.actors.analytics.exports.actor import ExportsActor
from promptforge.actors.analytics.exports.messages import QUEUE as EXPORTS
from promptforge.actors.analytics.exports.messages import RequestExport, SweepExports
from promptforge.actors.analytics.market.actor import MarketFiguresActor
from promptforge.actors.analytics.market.messages import FoldMarket, GetMarketFigures
from promptforge.actors.analytics.queries.actor import QueriesActor
from promptforge.actors.analytics.queries.messages import GetDashboard, QueryAnalytics
from promptforge.actors.analytics.rollups.actor import RollupsActor
from promptforge.actors.analytics.rollups.messages import FoldEvents

__all__ = [
    "EXPORTS",
    "EventsActor",
    "ExportsActor",
    "FoldEvents",
    "FoldMarket",
    "GetDashboard",
    "GetMarketFigures",
    "MarketFiguresActor",
    "QueriesActor",
    "QueryAnalytics",
    "RecordEvents",
    "RequestExport",
    "RollupsActor",
    "SweepExports",
]
