"""All route tables of the product; the feature's own file says what its paths are."""

from __future__ import annotations

from promptforge.http import (
    ai,
    analytics,
    billing,
    datasets,
    evaluations,
    jobs,
    marketplace,
    moderation,
    notifications,
    operations,
    packages,
    partnerships,
    projects,
    prompts,
    search,
    users,
)
from promptforge.http.routing import Route

routes: tuple[Route, ...] = (
    *users.routes,
    *projects.routes,
    *prompts.routes,
    *datasets.routes,
    *packages.routes,
    *partnerships.routes,
    *evaluations.routes,
    *ai.routes,
    *analytics.routes,
    *marketplace.routes,
    *moderation.routes,
    *billing.routes,
    *notifications.routes,
    *search.routes,
    *jobs.routes,
    *operations.routes,
)
