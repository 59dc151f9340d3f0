"""Codes, links, and whom they brought. What a referral is worth is asked in the sale's own transaction."""

from __future__ import annotations

import secrets

from promptforge.actors.billing.messages import AreAccountsLinked, GetAccountGroup
from promptforge.actors.partnerships.errors import NotAPartner
from promptforge.actors.partnerships.messages import GetPartnership, GetPartnerStanding
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.partnerships.referrals.domain import (
    ALPHABET,
    MOST_ACTIVE,
    MOST_CODES,
    RANDOM_LENGTH,
    Touch,
    Touches,
    normal_code,
)
from promptforge.actors.partnerships.referrals.errors import (
    AlreadyReferred,
    CircularReferral,
    CodeTaken,
    NobodysReferral,
    ReferralNotActive,
    SelfReferral,
    TooManyCodes,
)
from promptforge.actors.partnerships.referrals.messages import (
    AttributionView,
    ClaimReferral,
    CreateReferralCode,
    DeactivateReferralCode,
    FindReferral,
    FollowReferralLink,
    GetReferral,
    HoldBackCodes,
    JudgeReferrer,
    ListReferralCodes,
    Referral,
    ReferralCodesView,
    ReferralCodeView,
    ReferralTouchView,
    ReferrerStanding,
)
from promptforge.actors.partnerships.referrals.store import (
    Attribution,
    ReferralCode,
    ReferralStores,
)
from promptforge.actors.users.messages import GetContact, GetMe
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.made import Made
from promptforge.core.runtime import Actor, handles

FARTHEST = 100
"""So many steps up somebody's referrers are looked at: nobody is referred that many times over."""


class ReferralsActor(Actor):
    """`base_url`: where links lead. `partners` are read for the names that people see."""

    name = "referrals"
    asks = ("partners", "billing", "users")

    def __init__(self, stores: ReferralStores, partners: PartnerStore, touches: Touches, *, base_url: str) -> None:
        self._codes = stores.codes
        self._attributions = stores.attributions
        self._clicks = stores.clicks
        self._partners = partners
        self._touches = touches
        self._base_url = base_url

    async def run(self, context: Context) -> None:
        await self._clicks.tallies.run()

    async def stop(self) -> None:
        await self._clicks.tallies.flush()

    # Codes

    @handles(CreateReferralCode, key="partner_id", atomic=True)
    async def create_code(self, message: CreateReferralCode, context: Context) -> ReferralCodeView:
        await context.ask(GetPartnership(partner_id=message.partner_id))  # raises where it is not theirs
        standing = await context.ask(GetPartnerStanding(partner_id=message.partner_id))
        if standing is None or not standing.earns:
            raise NotAPartner
        await self._attributions.take_turns([message.partner_id], session=context.session)
        there = await self._codes.list_of(message.partner_id, session=context.session)
        if len(there) >= MOST_CODES or sum(one.active for one in there) >= MOST_ACTIVE:
            raise TooManyCodes(f"A partner has {MOST_ACTIVE} active codes at most, and {MOST_CODES} altogether")
        code = _random_code() if message.code is None else normal_code(message.code)
        made = ReferralCode(code, message.partner_id, context.user_id, message.label, context.now())
        if not await self._codes.insert(made, session=context.session):
            raise CodeTaken
        return self._view(made)

    @handles(ListReferralCodes)
    async def list_codes(self, message: ListReferralCodes, context: Context) -> ReferralCodesView:
        await context.ask(GetPartnership(partner_id=message.partner_id))
        codes = await self._codes.list_of(message.partner_id)
        return ReferralCodesView(tuple(self._view(one) for one in codes), MOST_ACTIVE)

    @handles(DeactivateReferralCode, key="partner_id", atomic=True)
    async def deactivate(self, message: DeactivateReferralCode, context: Context) -> ReferralCodeView:
        await context.ask(GetPartnership(partner_id=message.partner_id))
        there = await self._codes.find(message.code, session=context.session)
        if there is None or there.partner_id != message.partner_id:
            raise NotFound("This partnership has no such code")
        await self._codes.deactivate(there.code, now=context.now(), session=context.session)
        now_is = await self._codes.find(there.code, session=context.session)
        return self._view(now_is or there)

    def _view(self, made: ReferralCode) -> ReferralCodeView:
        return ReferralCodeView(
            code=made.code,
            label=made.label,
            link=f"{self._base_url}/r/{made.code}",
            active=made.active,
            created_at=made.created_at,
            deactivated_at=made.deactivated_at,
        )

    # Touches

    @handles(FollowReferralLink)
    async def follow(self, message: FollowReferralLink, context: Context) -> ReferralTouchView:
        there = await self._codes.find(message.code)
        standing = None if there is None else await context.ask(GetPartnerStanding(partner_id=there.partner_id))
        if there is None or not there.active or standing is None or not standing.earns:
            raise NotFound("This link brings nobody")
        touch = Touch(there.code, context.now())
        self._clicks.add(there, touch.at)
        return ReferralTouchView(self._touches.token(touch), touch.until)

    @handles(ClaimReferral, atomic=True)
    async def claim(self, message: ClaimReferral, context: Context) -> Made[AttributionView]:
        there = await self._attributions.find(context.user_id, session=context.session)
        if there is not None:
            return Made(await self._attribution_view(there, context), new=False)
        refusals: list[NobodysReferral] = []
        for touch in self._touches.open_ones(message.tokens, context.now()):
            try:
                return Made(await self._attribution_view(await self._attributed(touch, context), context))
            except NobodysReferral as refusal:
                refusals.append(refusal)
        raise max(refusals, key=lambda refusal: refusal.telling)

    async def _attributed(self, touch: Touch, tx: Context) -> Attribution:
        """Raises `NobodysReferral`, before anything is written."""
        code = await self._codes.find(touch.code, session=tx.session)
        standing = None if code is None else await tx.ask(GetPartnerStanding(partner_id=code.partner_id))
        if code is None or not code.active or standing is None or not standing.earns:
            raise ReferralNotActive
        group = await self._expect_no_circle(standing.owner_id, tx)
        if await self._attributions.find_first(group, session=tx.session) is not None:
            raise AlreadyReferred
        made = Attribution(
            user_id=tx.user_id,
            code=code.code,
            partner_id=code.partner_id,
            referrer_id=standing.owner_id,
            touched_at=touch.at,
            until=touch.until,
            made_at=tx.now(),
            signed_up=(await tx.ask(GetMe())).created_at >= touch.at,
        )
        await self._attributions.insert(made, session=tx.session)
        return made

    async def _expect_no_circle(self, referrer_id: str, tx: Context) -> tuple[str, ...]:
        """The user's accounts, of which nobody else claims anything beside this. Raises `SelfReferral` or
        `CircularReferral`.

        A circle could also be closed from several sides at once, none of which sees the others. So each takes a turn of
        its user's accounts and, where those may refer others, of all accounts that the chain goes through: who is about
        to be referred too takes the same turn, and one of both starts over and sees the other.
        """
        group = await tx.ask(GetAccountGroup(user_id=tx.user_id))
        if referrer_id in group or await tx.ask(AreAccountsLinked(one=tx.user_id, other=referrer_id)):
            raise SelfReferral
        above, through = await self._above(referrer_id, tx)
        if above.intersection(group):
            raise CircularReferral
        refers = await self._codes.has_any(group, session=tx.session)
        await self._attributions.take_turns([group[0], *(through if refers else ())], session=tx.session)
        return group

    async def _above(self, user_id: str, context: Context) -> tuple[set[str], list[str]]:
        """By whom somebody came, and by whom that one did, and so on; also by whom accounts came that are linked with
        one of those, for they are the same person. And the names of the groups that this went through.
        """
        above: set[str] = set()
        through: list[str] = []
        waiting = [user_id]
        while waiting and len(through) < FARTHEST:
            group = await context.ask(GetAccountGroup(user_id=waiting.pop()))
            if group[0] in through:
                continue
            through.append(group[0])
            referrers = await self._attributions.list_referrers(group, session=context.session)
            waiting += referrers.difference(above)
            above |= referrers
        return above, through

    @handles(GetReferral)
    async def get_referral(self, message: GetReferral, context: Context) -> AttributionView:
        there = await self._attributions.find(context.user_id)
        if there is None:
            raise NotFound("You came by nobody's link")
        return await self._attribution_view(there, context)

    async def _attribution_view(self, made: Attribution, context: Context) -> AttributionView:
        partner = await self._partners.get(made.partner_id, session=context.session)
        return AttributionView(partner.name, made.code, made.touched_at, made.until, made.signed_up)

    # The end of an account

    @handles(HoldBackCodes, key="user_id")
    async def hold_back(self, message: HoldBackCodes, context: Context) -> None:
        await self._codes.hold_back(message.user_id, but=message.sold, now=context.now())

    # Sales

    @handles(FindReferral, transactional=True)
    async def find_referral(self, message: FindReferral, context: Context) -> Referral | None:
        made = await self._attributions.find(message.buyer_id, session=context.session)
        if made is None or context.now() >= made.until or made.referrer_id == message.seller_id:
            return None
        group = await context.ask(GetAccountGroup(user_id=message.buyer_id))
        if await self._attributions.find_first(group, session=context.session) != made:
            return None  # they were brought by another account before, which was linked with this one since
        standing = await context.ask(GetPartnerStanding(partner_id=made.partner_id))
        if standing is None or not standing.earns:
            return None
        if await self._came_by(made.referrer_id, message.buyer_id, context):
            return None
        return Referral(made.partner_id, made.referrer_id, made.code, standing.commission_bp)

    @handles(JudgeReferrer, transactional=True)
    async def judge(self, message: JudgeReferrer, context: Context) -> ReferrerStanding:
        contact = await context.ask(GetContact(user_id=message.referrer_id))
        return ReferrerStanding(
            came_by=await self._came_by(message.referrer_id, message.buyer_id, context),
            suspended=contact is not None and contact.suspended,
            closed=contact is None,
        )

    async def _came_by(self, referrer_id: str, other_id: str, context: Context) -> bool:
        """Whether that closes a circle, of any length."""
        above, _ = await self._above(referrer_id, context)
        return bool(above) and not above.isdisjoint(await context.ask(GetAccountGroup(user_id=other_id)))


def _random_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
