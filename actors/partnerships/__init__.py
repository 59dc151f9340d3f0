"""People who bring others here, and the programs that they do it with."""

from promptforge.actors.partnerships.apps.actor import PartnerAppsActor
from promptforge.actors.partnerships.partners.actor import PartnersActor
from promptforge.actors.partnerships.referrals.actor import ReferralsActor
from promptforge.actors.partnerships.referrals.earnings import EarningsActor

__all__ = ["EarningsActor", "PartnerAppsActor", "PartnersActor", "ReferralsActor"]
