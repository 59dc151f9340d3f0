"""All route tables of the product; the feature's own file says what its paths are."""

from __future__ import annotations

from promptforge.http import jobs, operations
from promptforge.http.routing import Route

ROUTES: tuple[Route, ...] = (
    *operations.routes,
    *jobs.routes,
)
