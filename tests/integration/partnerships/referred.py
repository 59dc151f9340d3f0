"""Partners with codes, and people who came by them."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.billing.ledger.messages import SettleSales
from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.partnerships.messages import PartnershipDecision
from promptforge.actors.partnerships.referrals.messages import (
    AttributionView,
    ClaimReferral,
    CreateReferralCode,
    EarningsView,
    FollowReferralLink,
    GetEarnings,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.partnerships.partners import decide, partner
from tests.support.market import top_up
from tests.support.processes import SteppedClock


@dataclass(frozen=True, slots=True)
class Affiliate:
    """Somebody who is a partner, with one code."""

    context: Context
    partner_id: str
    code: str

    async def earnings(self) -> EarningsView:
        return await self.context.ask(GetEarnings(partner_id=self.partner_id))

    async def stand(self) -> tuple[str, str, str]:
        """Pending, frozen, earned."""
        found = await self.earnings()
        return found.pending, found.frozen, found.earned


async def admin_of(branches: Branches) -> Context:
    return await branches.here.person("admin", Role.ADMIN)


async def affiliate(branches: Branches, name: str, code: str | None = None) -> Affiliate:
    """Earns 3 % of what those buy whom they bring."""
    person = await branches.here.person(name)
    made = await partner(person, await admin_of(branches))
    view = await person.ask(CreateReferralCode(partner_id=made.id, code=code))
    return Affiliate(person, made.id, view.code)


async def listing_of(branches: Branches, seller: str = "carla", *, price: str = "100") -> ListingView:
    person = await branches.here.person(seller, Role.SELLER)
    return await branches.here.published(person, f"Of {seller} for {price}", price=price)


async def a_month_passes(branches: Branches, clock: SteppedClock) -> None:
    clock.advance(days=31)
    await branches.here.process.context().ask(SettleSales())
    await branches.here.jobs_done()


async def touch(branches: Branches, of: Affiliate) -> str:
    visitor = branches.here.process.system.context(request_id="visitor", trusted=True)
    return (await visitor.ask(FollowReferralLink(code=of.code))).token


async def comes_by(branches: Branches, of: Affiliate, person: Context) -> AttributionView:
    claimed = await person.ask(ClaimReferral(tokens=(await touch(branches, of),)))
    assert claimed.new
    return claimed.value


async def buyer_of(branches: Branches, of: Affiliate, name: str = "bruno", *, credits: int = 1000) -> Context:
    """With credits that were paid for."""
    person = await branches.here.person(name)
    await comes_by(branches, of, person)
    await top_up(branches.mongo, person, credits)
    return person


async def suspend(branches: Branches, of: Affiliate, *, there: bool = False) -> None:
    where = branches.there if there else branches.here
    await decide(await where.person("admin", Role.ADMIN), of.partner_id, PartnershipDecision.SUSPEND)


async def lift(branches: Branches, of: Affiliate) -> None:
    await decide(await admin_of(branches), of.partner_id, PartnershipDecision.LIFT)
