"""Partnerships as this process has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from promptforge.actors.partnerships import EarningsActor, PartnerAppsActor, PartnersActor, ReferralsActor
from promptforge.actors.partnerships import store as partnerships
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor
from promptforge.core.signing import Signer
from promptforge.deploy.settings import Settings

ACTOR_TYPES: tuple[type[Actor], ...] = (PartnersActor, PartnerAppsActor, ReferralsActor, EarningsActor)
INDEXES = partnerships.INDEXES


def build_actors(
    mongo: Mongo, settings: Settings, secrets: Sequence[str], *, scopes: Iterable[str], base_url: str
) -> list[Actor]:
    """A commission is a part of the platform's fee, whatever the settings allow partners. `base_url`: where links lead.

    `secrets`: what links give away is signed with the first of them; without one nobody can follow a link.
    """
    most = min(settings.partner_commission_max_bp, settings.platform_fee_bp)
    appeal_for = timedelta(days=settings.appeal_days)
    partners, history = partnerships.PartnerStore(mongo), partnerships.PartnerHistory(mongo)
    apps, referrals = partnerships.AppStore(mongo), partnerships.ReferralStores(mongo)
    touches = partnerships.Touches(Signer(secrets, purpose=b"promptforge referrals v1"))
    return [
        PartnersActor(partners, history, apps=apps, most_commission_bp=most, appeal_for=appeal_for),
        PartnerAppsActor(apps, partners, scopes=scopes),
        ReferralsActor(referrals, partners, touches, base_url=base_url),
        EarningsActor(referrals, partners, history, appeal_for=appeal_for),
    ]
