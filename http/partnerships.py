"""Partnerships: one's own, and what administrators decide about everybody's."""

from __future__ import annotations

from promptforge.actors.partnerships.apps.messages import (
    CreatePartnerApp,
    DeletePartnerApp,
    GetPartnerApp,
    ListPartnerApps,
    RenamePartnerApp,
    RotateAppSecret,
)
from promptforge.actors.partnerships.errors import (
    AppealedAlready,
    ApplyLater,
    IllegalMove,
    NotAPartner,
    OwnPartnership,
    PartnershipChanged,
    PartnershipExists,
    TooManyApps,
)
from promptforge.actors.partnerships.messages import (
    AppealSuspension,
    ApplyForPartnership,
    ChangeCommission,
    DecidePartnership,
    GetPartnership,
    ListMyPartnerships,
    ListPartnershipReasons,
    ListPartnerships,
    ReviewPartnership,
    WithdrawApplication,
)
from promptforge.http.routing import delete, get, patch, post

_JUDGED = (OwnPartnership, PartnershipChanged, IllegalMove)

routes = [
    get("/partnerships/reasons", ListPartnershipReasons),
    get("/partnerships", ListMyPartnerships),
    post("/partnerships", ApplyForPartnership, status=201, errors=(PartnershipExists, ApplyLater)),
    get("/partnerships/all", ListPartnerships),
    get("/partnerships/{partner_id}", GetPartnership),
    post("/partnerships/{partner_id}/withdraw", WithdrawApplication, errors=(IllegalMove,)),
    post("/partnerships/{partner_id}/appeal", AppealSuspension, errors=(IllegalMove, AppealedAlready)),
    get("/partnerships/{partner_id}/review", ReviewPartnership),
    post("/partnerships/{partner_id}/decision", DecidePartnership, errors=_JUDGED),
    post("/partnerships/{partner_id}/commission", ChangeCommission, errors=_JUDGED),
    get("/partnerships/{partner_id}/apps", ListPartnerApps),
    post("/partnerships/{partner_id}/apps", CreatePartnerApp, status=201, errors=(NotAPartner, TooManyApps)),
    get("/partnerships/{partner_id}/apps/{app_id}", GetPartnerApp),
    patch("/partnerships/{partner_id}/apps/{app_id}", RenamePartnerApp),
    delete("/partnerships/{partner_id}/apps/{app_id}", DeletePartnerApp),
    post("/partnerships/{partner_id}/apps/{app_id}/secret", RotateAppSecret),
]
