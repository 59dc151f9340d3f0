"""Moderation: the queue, a case, its claim, its decision."""

from __future__ import annotations

from promptforge.actors.billing.errors import PaymentLost
from promptforge.actors.moderation.errors import (
    AlreadyDecided,
    CaseClaimed,
    CaseObsolete,
    CopyDecided,
    IllegalDecision,
    InterestedParty,
    NotClaimed,
    OwnCase,
    OwnDecision,
)
from promptforge.actors.moderation.messages import (
    ClaimCase,
    DecideCase,
    GetCase,
    GetQueue,
    ListCases,
    ListReasons,
    ReadCaseContent,
    ReleaseCase,
)
from promptforge.http.routing import delete, get, post

_BIASED = (OwnCase, InterestedParty, OwnDecision)

routes = [
    get("/moderation/reasons", ListReasons),
    get("/moderation/queue", GetQueue),
    get("/moderation/cases", ListCases),
    get("/moderation/cases/{case_id}", GetCase),
    post("/moderation/cases/{case_id}/claim", ClaimCase, errors=(CaseClaimed, AlreadyDecided, CaseObsolete, *_BIASED)),
    delete("/moderation/cases/{case_id}/claim", ReleaseCase),
    get("/moderation/cases/{case_id}/content", ReadCaseContent, errors=(NotClaimed,)),
    post(
        "/moderation/cases/{case_id}/decision",
        DecideCase,
        errors=(NotClaimed, IllegalDecision, AlreadyDecided, CaseObsolete, CopyDecided, PaymentLost, *_BIASED),
    ),
]
