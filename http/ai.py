"""Language models."""

from __future__ import annotations

from promptforge.actors.ai.messages import ListModels
from promptforge.http.routing import get

routes = [
    get("/ai/models", ListModels),
]
