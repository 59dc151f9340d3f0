"""Partnerships: one's own, and what administrators decide about everybody's."""

from __future__ import annotations

from promptforge.actors.billing.errors import ForfeitAppealed, FreezeDecided, InsufficientCredits, NothingForfeited
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
    OwnForfeiture,
    OwnPartnership,
    OwnSuspension,
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
from promptforge.actors.partnerships.referrals.errors import (
    CircularReferral,
    CodeTaken,
    NotAReferral,
    ReferralExpired,
    ReferralNotActive,
    SelfReferral,
    TooManyCodes,
)
from promptforge.actors.partnerships.referrals.messages import (
    AppealForfeiture,
    ClaimReferral,
    CollectEarnings,
    CreateReferralCode,
    DeactivateReferralCode,
    DecideForfeitAppeal,
    DecideFrozenEarnings,
    FollowReferralLink,
    GetEarnings,
    GetPartnerDashboard,
    GetReferral,
    ListFrozenEarnings,
    ListReferralCodes,
    ReviewEarnings,
)
from promptforge.core.appeals import AppealTooLate
from promptforge.core.errors import NotFound
from promptforge.http.routing import delete, get, patch, post

_JUDGED = (OwnPartnership, PartnershipChanged, IllegalMove)
_PARTNER = "/partnerships/{partner_id}"

routes = [
    get("/partnerships/reasons", ListPartnershipReasons),
    get("/partnerships", ListMyPartnerships),
    post("/partnerships", ApplyForPartnership, status=201, errors=(PartnershipExists, ApplyLater)),
    get("/partnerships/all", ListPartnerships),
    get("/partnerships/freezes", ListFrozenEarnings),
    get(_PARTNER, GetPartnership),
    post(_PARTNER + "/withdraw", WithdrawApplication, errors=(IllegalMove,)),
    post(_PARTNER + "/appeal", AppealSuspension, errors=(IllegalMove, AppealedAlready, AppealTooLate)),
    get(_PARTNER + "/review", ReviewPartnership),
    post(_PARTNER + "/decision", DecidePartnership, errors=_JUDGED),
    post(_PARTNER + "/commission", ChangeCommission, errors=_JUDGED),
    get(_PARTNER + "/apps", ListPartnerApps),
    post(_PARTNER + "/apps", CreatePartnerApp, status=201, errors=(NotAPartner, TooManyApps)),
    get(_PARTNER + "/apps/{app_id}", GetPartnerApp),
    patch(_PARTNER + "/apps/{app_id}", RenamePartnerApp),
    delete(_PARTNER + "/apps/{app_id}", DeletePartnerApp),
    post(_PARTNER + "/apps/{app_id}/secret", RotateAppSecret),
    get(_PARTNER + "/codes", ListReferralCodes),
    post(_PARTNER + "/codes", CreateReferralCode, status=201, errors=(CodeTaken, TooManyCodes, NotAPartner)),
    post(_PARTNER + "/codes/{code}/deactivate", DeactivateReferralCode),
    get(_PARTNER + "/dashboard", GetPartnerDashboard),
    get(_PARTNER + "/earnings", GetEarnings),
    post(_PARTNER + "/earnings/collect", CollectEarnings, errors=(InsufficientCredits,)),
    get(_PARTNER + "/earnings/review", ReviewEarnings),
    post(
        _PARTNER + "/earnings/freezes/{term}/decision",
        DecideFrozenEarnings,
        errors=(OwnPartnership, FreezeDecided),
    ),
    post(
        _PARTNER + "/earnings/freezes/{term}/appeal",
        AppealForfeiture,
        errors=(NothingForfeited, ForfeitAppealed, AppealTooLate),
    ),
    post(
        _PARTNER + "/earnings/freezes/{term}/appeal/decision",
        DecideForfeitAppeal,
        errors=(OwnPartnership, OwnForfeiture, OwnSuspension, FreezeDecided, NothingForfeited),
    ),
    post("/partnerships/clicks", FollowReferralLink, errors=(NotFound,)),
    get("/partnerships/attribution", GetReferral, errors=(NotFound,)),
    post(
        "/partnerships/attribution",
        ClaimReferral,
        status=201,
        errors=(NotAReferral, ReferralExpired, ReferralNotActive, SelfReferral, CircularReferral),
    ),
]
