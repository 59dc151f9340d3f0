"""Moderation: the queue, a case, its decision."""

from __future__ import annotations

from promptforge.actors.moderation.errors import AlreadyDecided, CaseObsolete, OwnCase
from promptforge.actors.moderation.messages import DecideCase, GetCase, ListCases
from promptforge.http.routing import get, post

routes = [
    get("/moderation/cases", ListCases),
    get("/moderation/cases/{case_id}", GetCase),
    post("/moderation/cases/{case_id}/decision", DecideCase, errors=(AlreadyDecided, CaseObsolete, OwnCase)),
]
