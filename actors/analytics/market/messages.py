"""The figures of the market, for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field

from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import Scan
from promptforge.core.principal import Role

LONGEST_DAYS = 366
Credits = Annotated[str, Field(examples=["1250.5"])]


@dataclass(frozen=True, slots=True)
class MarketFigures:
    """What the ledger says of some time. `gmv`: what buyers paid for listings and for runs of sealed ones.

    `refunds` were given back in that time, whenever they had been bought: `refunded` to buyers. `take` is what came to
    the platform's fees less what went out of them again, `model_income` what runs paid for models, and `losses` what
    the platform had to bear of disputes, and of refunds that were mistakes. `views` are those of listings.
    """

    purchases: int
    runs_sold: int
    gmv: Credits
    refunds: int
    refunded: Credits
    take: Credits
    model_income: Credits
    losses: Credits
    views: int


@dataclass(frozen=True, slots=True)
class MarketDay:
    day: date
    active_buyers: int
    figures: MarketFigures


@dataclass(frozen=True, slots=True)
class MarketView:
    """These days (UTC), together and one by one.

    `active_buyers` have bought something in this time; of those who had in the same time before it, `retention` is the
    part that has again, null where there were none. `conversion` is purchases by views, null where there are none.
    """

    since: date
    until: date
    figures: MarketFigures
    active_buyers: int
    buyers_before: int
    retention: Annotated[float | None, Field(examples=[0.42])]
    conversion: float | None
    days: tuple[MarketDay, ...]


@requires(Role.ADMIN, scope="analytics:market")
class GetMarketFigures(Query[MarketView]):
    """Read the figures of the whole market: the last `days`, today among them, up to this moment."""

    days: Annotated[int, Ge(1), Le(LONGEST_DAYS)] = 30


@internal
@job(timeout_seconds=900)
class FoldMarket(Command[int]):
    """Add up the journals that have settled since the last time; answers how many. Twice, or two at once, is once."""


@internal
class ScanMarket(Query[Scan[MarketDay]]):
    """Every day from the first that something was sold on, for an export."""
