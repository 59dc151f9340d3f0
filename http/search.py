"""Search, and suggestions while somebody types."""

from __future__ import annotations

from promptforge.actors.search.errors import TooDeep
from promptforge.actors.search.messages import GetSearchIndex, Search, Suggest
from promptforge.http.routing import get

routes = [
    get("/search", Search, errors=(TooDeep,), repeats=True),
    get("/search/suggestions", Suggest, name="suggestTitles"),
    get("/ops/search", GetSearchIndex),
]
