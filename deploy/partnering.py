"""Partnerships as this process has them."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.actors.partnerships import PartnerAppsActor, PartnersActor
from promptforge.actors.partnerships import store as partnerships
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor
from promptforge.deploy.settings import Settings

ACTOR_TYPES: tuple[type[Actor], ...] = (PartnersActor, PartnerAppsActor)
INDEXES = partnerships.INDEXES


def build_actors(mongo: Mongo, settings: Settings, *, scopes: Iterable[str]) -> list[Actor]:
    """A commission is a part of the platform's fee, whatever the settings allow partners."""
    most = min(settings.partner_commission_max_bp, settings.platform_fee_bp)
    partners, history = partnerships.PartnerStore(mongo), partnerships.PartnerHistory(mongo)
    apps = partnerships.AppStore(mongo)
    return [
        PartnersActor(partners, history, apps, most_commission_bp=most),
        PartnerAppsActor(apps, partners, scopes=scopes),
    ]
