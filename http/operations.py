"""What operators see of the process that answers them."""

from __future__ import annotations

from promptforge.actors.operations.messages import ListActors, ListDeadLetters
from promptforge.http.routing import get

routes = [
    get("/ops/actors", ListActors),
    get("/ops/dead-letters", ListDeadLetters),
]
