"""People who bring others here, and the programs that they do it with."""

from promptforge.actors.partnerships.apps.actor import PartnerAppsActor
from promptforge.actors.partnerships.partners.actor import PartnersActor

__all__ = ["PartnerAppsActor", "PartnersActor"]
