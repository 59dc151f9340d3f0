"""What partners have earned: how it stands, collecting it, the dashboard, and what is frozen of it."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.billing.ledger.commissions.messages import (
    AnswerFreeze,
    AppealFreeze,
    CollectCommissions,
    CommissionsStand,
    DecideFreeze,
    FrozenTerm,
    GetCommissions,
    GetFreeze,
    ListUndecidedFreezes,
    SumCommissions,
    UndecidedFreeze,
)
from promptforge.actors.billing.messages import AreAccountsLinked
from promptforge.actors.partnerships.errors import NobodyToAnswer, OwnPartnership
from promptforge.actors.partnerships.messages import GetPartnership
from promptforge.actors.partnerships.partners.appeals import expect_another, expect_another_than
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.partners.history import PartnerHistory
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.partnerships.referrals.domain import dashboard, of_ledger
from promptforge.actors.partnerships.referrals.messages import (
    AppealDecision,
    AppealForfeiture,
    CollectEarnings,
    CollectionView,
    DecideForfeitAppeal,
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
from promptforge.actors.partnerships.referrals.notices import answer_notice, appeal_notices, earnings_notice
from promptforge.actors.partnerships.referrals.reasons import ANSWERS, REASONS
from promptforge.actors.partnerships.referrals.store import ReferralStores
from promptforge.actors.users.messages import IsAccountClosed, ListAdministrators
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Page
from promptforge.core.reasons import check_reason
from promptforge.core.runtime import Actor, handles


class EarningsActor(Actor):
    """`appeal_for`: how long a forfeiture can be appealed."""

    name = "earnings"
    asks = ("partners", "billing", "commissions", "users")

    def __init__(
        self, stores: ReferralStores, partners: PartnerStore, history: PartnerHistory, *, appeal_for: timedelta
    ) -> None:
        self._appeal_for = appeal_for
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

    @handles(AppealForfeiture, key="partner_id", transactional=True)
    async def appeal(self, message: AppealForfeiture, context: Context) -> EarningsView:
        await context.transaction(lambda tx: self._appeal(message, tx))
        return _view(await context.ask(GetCommissions(partner_id=message.partner_id)))

    async def _appeal(self, message: AppealForfeiture, tx: Context) -> None:
        partner_id, term = message.partner_id, message.term
        await tx.ask(GetPartnership(partner_id=partner_id))
        await tx.ask(AppealFreeze(partner_id=partner_id, term=term, words=message.words))
        told = [one for one in await tx.ask(ListAdministrators()) if one != tx.user_id]
        await tx.enqueue_many(appeal_notices(partner_id, term, told))

    # Administrators

    @handles(ListFrozenEarnings)
    async def list_frozen(self, message: ListFrozenEarnings, context: Context) -> Page[FrozenTermView]:
        wanted = ListUndecidedFreezes(appealed=message.appealed, limit=message.limit, cursor=message.cursor)
        found = await context.ask(wanted)
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
        partner = await self._to_be_judged(message.partner_id, tx)
        there = await tx.ask(GetFreeze(partner_id=partner.id, term=message.term))
        if _is_decided(there, message, tx.user_id):
            return
        await expect_another(partner, self._history, tx)
        appeal_until = tx.now() + self._appeal_for
        await tx.ask(
            DecideFreeze(
                partner_id=partner.id,
                term=message.term,
                release=message.decision is FreezeDecision.RELEASE,
                decided_by=tx.user_id,
                reason=message.reason,
                reason_code=message.reason_code.value,
                appeal_until=appeal_until,
            )
        )
        await tx.enqueue(earnings_notice(partner, message, appeal_until), owner_id=partner.owner)

    @handles(DecideForfeitAppeal, key="partner_id", transactional=True)
    async def decide_appeal(self, message: DecideForfeitAppeal, context: Context) -> EarningsView:
        await context.transaction(lambda tx: self._decide_appeal(message, tx))
        return _view(await context.ask(GetCommissions(partner_id=message.partner_id)))

    async def _decide_appeal(self, message: DecideForfeitAppeal, tx: Context) -> None:
        """What the account behind it has left has nobody any more whom it could be brought back for."""
        check_reason(ANSWERS, message.reason_code, message.decision)
        partner = await self._to_be_judged(message.partner_id, tx)
        there = await tx.ask(GetFreeze(partner_id=partner.id, term=message.term))
        if _is_answered(there, message, tx.user_id):
            return
        if await tx.ask(IsAccountClosed(user_id=partner.owner)):
            raise NobodyToAnswer
        if there.appealed_at is not None and there.answered_at is None:
            await expect_another(partner, self._history, tx)
            await expect_another_than(there.decided_by, partner, tx)
        await tx.ask(
            AnswerFreeze(
                partner_id=partner.id,
                term=message.term,
                granted=message.decision is AppealDecision.REVERSE,
                decided_by=tx.user_id,
                reason=message.reason,
                reason_code=message.reason_code.value,
            )
        )
        await tx.enqueue(answer_notice(partner, message), owner_id=partner.owner)

    async def _to_be_judged(self, partner_id: str, tx: Context) -> Partner:
        """Raises `OwnPartnership`."""
        partner = await self._partners.get(partner_id, session=tx.session)
        if tx.user_id == partner.owner or await tx.ask(AreAccountsLinked(one=tx.user_id, other=partner.owner)):
            raise OwnPartnership
        return partner


def _is_decided(there: FrozenTerm, message: DecideFrozenEarnings, by: str) -> bool:
    """Whether this very decision was carried out already, and its answer was lost."""
    state = "released" if message.decision is FreezeDecision.RELEASE else "forfeited"
    told = there.state, there.decided_by, there.reason, there.reason_code
    return told == (state, by, message.reason, message.reason_code)


def _is_answered(there: FrozenTerm, message: DecideForfeitAppeal, by: str) -> bool:
    """The same of the answer to an appeal."""
    state = "released" if message.decision is AppealDecision.REVERSE else "forfeited"
    told = there.state, there.answered_by, there.answer, there.answer_code
    return told == (state, by, message.reason, message.reason_code)


def _frozen_view(one: UndecidedFreeze, partner: Partner) -> FrozenTermView:
    return FrozenTermView(
        partner_id=partner.id,
        owner_id=partner.owner,
        name=partner.name,
        state=partner.state,
        term=one.term,
        pending=from_millicredits(one.pending),
        frozen_at=one.frozen_at,
        forfeited=from_millicredits(one.forfeited),
        appealed_at=one.appealed_at,
    )


def _view(stand: CommissionsStand) -> EarningsView:
    return EarningsView(
        pending=from_millicredits(stand.pending),
        frozen=from_millicredits(stand.frozen),
        earned=from_millicredits(stand.earned),
        freezes=tuple(_freeze_view(one) for one in stand.freezes),
    )


def _freeze_view(one: FrozenTerm) -> FrozenEarningsView:
    return FrozenEarningsView(
        term=one.term,
        state=one.state,
        pending=from_millicredits(one.pending),
        frozen_at=one.frozen_at,
        decided_at=one.decided_at,
        reason=one.reason,
        reason_code=one.reason_code,
        forfeited=from_millicredits(one.forfeited),
        appeal_until=None if one.appealed_at is not None else one.appeal_until,
        appealed_at=one.appealed_at,
        appeal=one.appeal,
        answer=one.answer,
        answer_code=one.answer_code,
        answered_at=one.answered_at,
    )
