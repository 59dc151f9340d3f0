"""The stores of this feature, every index they declare and what they hold of people."""

from __future__ import annotations

from promptforge.actors.partnerships.apps import store as apps
from promptforge.actors.partnerships.apps.store import APPS, JUDGE_ANEW, AppStore
from promptforge.actors.partnerships.partners import history, store
from promptforge.actors.partnerships.partners.history import PartnerHistory
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.partnerships.referrals import store as referrals
from promptforge.actors.partnerships.referrals.domain import Touches
from promptforge.actors.partnerships.referrals.store import ReferralStores
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = [
    "APPS",
    "HELD",
    "INDEXES",
    "JUDGE_ANEW",
    "AppStore",
    "PartnerHistory",
    "PartnerStore",
    "ReferralStores",
    "Touches",
]

INDEXES: dict[str, tuple[Index, ...]] = {**store.INDEXES, **history.INDEXES, **apps.INDEXES, **referrals.INDEXES}
HELD: dict[str, Held] = {**store.HELD, **history.HELD, **apps.HELD, **referrals.HELD}
