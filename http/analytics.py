"""Events, dashboards and questions about sums."""

from __future__ import annotations

from promptforge.actors.analytics.events.messages import RecordEvents
from promptforge.actors.analytics.queries.messages import GetDashboard, QueryAnalytics
from promptforge.core.errors import NotFound
from promptforge.http.rates import RateClass
from promptforge.http.routing import get, post

routes = [
    post("/analytics/events", RecordEvents, rate=RateClass.INGEST),
    get("/analytics/dashboard", GetDashboard, name="getDashboard"),
    post("/analytics/query", QueryAnalytics, errors=(NotFound,)),
]
