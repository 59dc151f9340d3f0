"""What can be in the way of a search."""

from __future__ import annotations

from promptforge.core.errors import Invalid, Unavailable


class TooDeep(Invalid):
    code = "too_deep"
    title = "Nobody pages so far: look for something narrower"


class SearchUnavailable(Unavailable):
    code = "search_unavailable"
    title = "Search does not know what has changed lately, and does not answer until it does"
