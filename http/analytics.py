"""Events, dashboards and questions about sums; exports and their files."""

from __future__ import annotations

from promptforge.actors.analytics.events.messages import RecordEvents
from promptforge.actors.analytics.exports.errors import ExportExpired, ExportNotReady, ExportOver, TooManyExports
from promptforge.actors.analytics.exports.messages import (
    CancelExport,
    DownloadExport,
    GetExport,
    ListExports,
    RequestExport,
)
from promptforge.actors.analytics.market.messages import GetMarketFigures
from promptforge.actors.analytics.queries.messages import GetDashboard, QueryAnalytics
from promptforge.core.errors import NotFound
from promptforge.http.rates import RateClass
from promptforge.http.routing import download, get, post

_EXPORTS = "/analytics/exports"
_EXPORT = _EXPORTS + "/{export_id}"

routes = [
    post("/analytics/events", RecordEvents, rate=RateClass.INGEST),
    get("/analytics/dashboard", GetDashboard, name="getDashboard"),
    post("/analytics/query", QueryAnalytics, errors=(NotFound,)),
    get("/analytics/market", GetMarketFigures),
    get(_EXPORTS, ListExports),
    post(
        _EXPORTS,
        RequestExport,
        status=202,
        location=_EXPORTS + "/{id}",
        rate=RateClass.EXPENSIVE,
        errors=(TooManyExports,),
    ),
    get(_EXPORT, GetExport),
    post(_EXPORT + "/cancel", CancelExport, errors=(ExportOver,)),
    download(_EXPORT + "/file", DownloadExport, errors=(ExportNotReady, ExportExpired)),
]
