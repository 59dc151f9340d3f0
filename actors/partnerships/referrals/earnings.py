"""What partners have earned: how it stands, collecting it, the dashboard, and what is frozen of it."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.billing.ledger.commissions.messages import (
    CollectCommissions,
    CommissionsStand,
    DecideFreeze,
    GetCommissions,
    ListUndecidedFreezes,
    SumCommissions,
    UndecidedFreeze,
)
from promptforge.actors.billing.messages import AreAccountsLinked
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.errors import OwnPartnership
from promptforge.actors.partnerships.messages import GetPartnership
from promptforge.actors.partnerships.partners.appeals import expect_another
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.partners.history import PartnerHistory
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.partnerships.referrals.domain import dashboard, of_ledger
from promptforge.actors.partnerships.referrals.messages import (
    CollectEarnings,
    CollectionView,
    DecideFrozenEarnings,
    EarningsView,
    FreezeDecision,
    FrozenEarningsView,
    FrozenTermView,
    GetEarnings,
    GetPartnerDashboard,
    ListFrozenEarnings,
    PartnerDashboard,
    ReviewEarnings,
)
from promptforge.actors.partnerships.referrals.reasons import REASONS, next_step
from promptforge.actors.partnerships.referrals.store import ReferralStores
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Page
from promptforge.core.reasons import check_reason, explained
from promptforge.core.runtime import Actor, handles


class EarningsActor(Actor):
    name = "earnings"
    asks = ("partners", "billing", "commissions", "users")

    def __init__(self, stores: ReferralStores, partners: PartnerStore, history: PartnerHistory) -> None:
        self._codes = stores.codes
        self._attributions = stores.attributions
        self._clicks = stores.clicks
        self._partners = partners
        self._history = history

    @handles(GetEarnings)
    async def get_earnings(self, message: GetEarnings, context: Context) -> EarningsView:
        await context.ask(GetPartnership(partner_id=message.partner_id))  # raises where it is not theirs
        return _view(await context.ask(GetCommissions(partner_id=message.partner_id)))

    @handles(CollectEarnings, key="partner_id", transactional=True)
    async def collect(self, message: CollectEarnings, context: Context) -> CollectionView:
        collection_id = new_id("col")
        amount = None if message.amount is None else to_millicredits(message.amount)

        async def work(tx: Context) -> CollectionView:
            await tx.ask(GetPartnership(partner_id=message.partner_id))
            collected = await tx.ask(
                CollectCommissions(
                    collection_id=collection_id,
                    partner_id=message.partner_id,
                    owner_id=tx.user_id,
                    amount_millicredits=amount,
                )
            )
            credits = from_millicredits(collected)
            await tx.audit("earnings.collected", message.partner_id, after={"id": collection_id, "amount": credits})
            return CollectionView(collection_id, credits)

        return await context.transaction(work)

    @handles(GetPartnerDashboard)
    async def get_dashboard(self, message: GetPartnerDashboard, context: Context) -> PartnerDashboard:
        partner_id = message.partner_id
        await context.ask(GetPartnership(partner_id=partner_id))
        today = context.now().replace(hour=0, minute=0, second=0, microsecond=0)
        since, until = today - timedelta(days=message.days - 1), today + timedelta(days=1)
        rows = [
            of_ledger(row) for row in await context.ask(SumCommissions(partner_id=partner_id, since=since, until=until))
        ]
        rows += await self._clicks.sum_by_day(partner_id, since=since, until=until)
        rows += await self._attributions.sum_by_day(partner_id, since=since, until=until)
        codes = [one.code for one in await self._codes.list_of(partner_id)]
        return dashboard(rows, codes, since=since.date(), until=today.date())

    # Administrators

    @handles(ListFrozenEarnings)
    async def list_frozen(self, message: ListFrozenEarnings, context: Context) -> Page[FrozenTermView]:
        found = await context.ask(ListUndecidedFreezes(limit=message.limit, cursor=message.cursor))
        partners = await self._partners.list_these([one.partner_id for one in found.items])
        rows = [_frozen_view(one, partners[one.partner_id]) for one in found.items if one.partner_id in partners]
        return Page(tuple(rows), found.next)

    @handles(ReviewEarnings)
    async def review(self, message: ReviewEarnings, context: Context) -> EarningsView:
        await self._partners.get(message.partner_id)
        return _view(await context.ask(GetCommissions(partner_id=message.partner_id)))

    @handles(DecideFrozenEarnings, key="partner_id", transactional=True)
    async def decide(self, message: DecideFrozenEarnings, context: Context) -> EarningsView:
        await context.transaction(lambda tx: self._decide(message, tx))
        return _view(await context.ask(GetCommissions(partner_id=message.partner_id)))

    async def _decide(self, message: DecideFrozenEarnings, tx: Context) -> None:
        check_reason(REASONS, message.reason_code, message.decision)
        partner = await self._partners.get(message.partner_id, session=tx.session)
        if tx.user_id == partner.owner or await tx.ask(AreAccountsLinked(one=tx.user_id, other=partner.owner)):
            raise OwnPartnership
        await expect_another(partner, self._history, tx)
        await tx.ask(
            DecideFreeze(
                partner_id=partner.id,
                term=message.term,
                release=message.decision is FreezeDecision.RELEASE,
                decided_by=tx.user_id,
                reason=message.reason,
                reason_code=message.reason_code.value,
            )
        )
        await tx.enqueue(earnings_notice(partner, message), owner_id=partner.owner)


def earnings_notice(partner: Partner, message: DecideFrozenEarnings) -> NotifyUser:
    code, following = message.reason_code, next_step(message.reason_code, message.decision)
    if message.decision is FreezeDecision.RELEASE:
        title, what = "Frozen earnings are yours after all", "What your suspension had frozen is released"
    else:
        title, what = "Frozen earnings are forfeited", "What your suspension had frozen has gone back into the fee"
    return NotifyUser(
        user_id=partner.owner,
        kind="partnership.earnings_decided",
        title=title,
        body=f"{what}.\n\n{explained(code, f'{REASONS[code].words} {message.reason}', following)}",
        subject={
            "partner_id": partner.id,
            "decision": message.decision.value,
            "term": str(message.term),
            "reason_code": code.value,
        },
        dedupe_key=f"partnership.earnings_decided:{partner.id}:{message.term}",
    )


def _frozen_view(one: UndecidedFreeze, partner: Partner) -> FrozenTermView:
    return FrozenTermView(
        partner_id=partner.id,
        owner_id=partner.owner,
        name=partner.name,
        state=partner.state,
        term=one.term,
        pending=from_millicredits(one.pending),
        frozen_at=one.frozen_at,
    )


def _view(stand: CommissionsStand) -> EarningsView:
    return EarningsView(
        pending=from_millicredits(stand.pending),
        frozen=from_millicredits(stand.frozen),
        earned=from_millicredits(stand.earned),
        freezes=tuple(
            FrozenEarningsView(
                term=one.term,
                state=one.state,
                pending=from_millicredits(one.pending),
                frozen_at=one.frozen_at,
                decided_at=one.decided_at,
                reason=one.reason,
                reason_code=one.reason_code,
            )
            for one in stand.freezes
        ),
    )
