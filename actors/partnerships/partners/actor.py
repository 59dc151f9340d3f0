"""Applications and decisions: each is one transaction with its history, its audit entry and what people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from promptforge.actors.billing.ledger.commissions.messages import GiveUpCommissions, ListUndecidedTerms
from promptforge.actors.billing.messages import AreAccountsLinked, GetAccountGroup
from promptforge.actors.partnerships.apps.actor import drop_webhooks
from promptforge.actors.partnerships.apps.store import AppStore
from promptforge.actors.partnerships.errors import (
    AppealedAlready,
    ApplyLater,
    OwnPartnership,
    PartnershipExists,
)
from promptforge.actors.partnerships.messages import (
    AppealSuspension,
    ApplyForPartnership,
    ChangeCommission,
    DecidePartnership,
    GetPartnership,
    GetPartnerStanding,
    LeavePartnerships,
    ListMyPartnerships,
    ListPartnerIds,
    ListPartnershipReasons,
    ListPartnerships,
    PartnershipDecision,
    PartnershipDetailView,
    PartnershipReasonsView,
    PartnershipRowView,
    PartnershipView,
    PartnerStanding,
    PartnerState,
    ReviewPartnership,
    TellAdministrators,
    WithdrawApplication,
)
from promptforge.actors.partnerships.partners.appeals import expect_another
from promptforge.actors.partnerships.partners.domain import (
    JUDGED,
    WAITING_DAYS,
    Move,
    Partner,
    Verdict,
    check_commission,
    decided,
)
from promptforge.actors.partnerships.partners.earnings import follow_state
from promptforge.actors.partnerships.partners.history import PartnerHistory, Step
from promptforge.actors.partnerships.partners.notices import commission_notice, decision_notice, waiting_notices
from promptforge.actors.partnerships.partners.reasons import REASONS, views
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.users.messages import ExpectOpenAccounts, GetContact, ListAdministrators
from promptforge.core.appeals import expect_in_time
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.reasons import check_reason
from promptforge.core.runtime import Actor, handles

_LEAVES_UNDECIDED = frozenset({PartnershipDecision.LIFT, PartnershipDecision.END})


class PartnersActor(Actor):
    """`most_commission_bp`: of a sale at most, for a partner. `appeal_for`: how long a suspension can be appealed."""

    name = "partners"
    asks = ("billing", "users", "commissions")

    def __init__(
        self,
        store: PartnerStore,
        history: PartnerHistory,
        *,
        apps: AppStore,
        most_commission_bp: int,
        appeal_for: timedelta,
    ) -> None:
        self._appeal_for = appeal_for
        self._store = store
        self._history = history
        self._apps = apps
        self._most_commission_bp = most_commission_bp

    @handles(ListPartnershipReasons)
    async def list_reasons(self, message: ListPartnershipReasons, context: Context) -> PartnershipReasonsView:
        return PartnershipReasonsView(
            reasons=views(),
            most_commission_bp=self._most_commission_bp,
            days_after_rejection=WAITING_DAYS[PartnerState.REJECTED],
            days_after_end=WAITING_DAYS[PartnerState.ENDED],
        )

    # Applicants

    @handles(ApplyForPartnership, atomic=True)
    async def apply(self, message: ApplyForPartnership, context: Context) -> PartnershipView:
        owner, now, session = context.user_id, context.now(), context.session
        await context.ask(ExpectOpenAccounts(user_ids=(owner,)))
        last = await self._store.find_last(owner, session=session)
        await self._expect_waited(last, context)
        partner = Partner(
            id=new_id("ptn"),
            owner=owner,
            state=PartnerState.APPLIED,
            name=message.name,
            website=message.website,
            plan=message.plan,
            commission_bp=None,
            version=1,
            verdict=None,
            appeal=None,
            appealed_at=None,
            appeal_used=False,
            created_at=now,
            updated_at=now,
            rethought=last is not None and last.is_rethought(now),
        )
        if not await self._store.insert(partner, session=session):
            raise PartnershipExists
        await context.audit("partnership.applied", partner.id)
        await context.enqueue(TellAdministrators(partner_id=partner.id, event="applied", version=1))
        return self._view(partner)

    async def _expect_waited(self, last: Partner | None, tx: Context) -> None:
        """Raises `ApplyLater`, which says nothing of a linked account but that there is one."""
        now, group = tx.now(), await tx.ask(GetAccountGroup(user_id=tx.user_id))
        if last is not None and (mine := last.apply_again_at) is not None and mine > now:
            extra = {"partner_id": last.id, "apply_again_at": mine.isoformat()}
            raise ApplyLater(f"You can apply again from {mine:%Y-%m-%d} on", extra=extra)
        others = [user_id for user_id in group if user_id != tx.user_id]
        ended = await self._store.list_of_owners(others, states=WAITING_DAYS, session=tx.session) if others else []
        until = max((one.apply_again_at for one in ended if one.apply_again_at is not None), default=now)
        if until > now:
            detail = "An account that shares a card or a bank account with yours has to wait"
            raise ApplyLater(
                f"{detail}: you can apply from {until:%Y-%m-%d} on", extra={"apply_again_at": until.isoformat()}
            )

    @handles(ListMyPartnerships)
    async def list_mine(self, message: ListMyPartnerships, context: Context) -> Page[PartnershipView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._store.list_own(context.user_id, cursor=cursor, limit=message.limit)
        return Page(tuple(self._view(one) for one in page.items), page.next)

    @handles(GetPartnership, transactional=True)
    async def get_own(self, message: GetPartnership, context: Context) -> PartnershipView:
        return self._view(await self._store.get_own(message.partner_id, context.user_id, session=context.session))

    @handles(WithdrawApplication, key="partner_id", atomic=True)
    async def withdraw(self, message: WithdrawApplication, context: Context) -> PartnershipView:
        before = await self._store.get_own(message.partner_id, context.user_id, session=context.session)
        after = before.moved(Move.WITHDRAW, now=context.now())
        await self._move(Step(Move.WITHDRAW), before, after, context)
        return self._view(after)

    @handles(AppealSuspension, key="partner_id", atomic=True)
    async def appeal(self, message: AppealSuspension, context: Context) -> PartnershipView:
        before = await self._store.get_own(message.partner_id, context.user_id, session=context.session)
        moved = before.moved(Move.APPEAL, now=context.now())
        if before.appeal_used:
            raise AppealedAlready
        expect_in_time(before.appeal_until, context.now())
        after = replace(moved, appeal=message.words, appealed_at=context.now(), appeal_used=True)
        await self._move(Step(Move.APPEAL), before, after, context)
        await context.enqueue(TellAdministrators(partner_id=after.id, event="appealed", version=after.version))
        return self._view(after)

    # Administrators

    @handles(ListPartnerships)
    async def list_all(self, message: ListPartnerships, context: Context) -> Page[PartnershipRowView]:
        page = await self._store.list_page(message)
        return Page(tuple(self._as_paid(one).row() for one in page.items), page.next)

    @handles(ReviewPartnership)
    async def review(self, message: ReviewPartnership, context: Context) -> PartnershipDetailView:
        return await self._detail(await self._store.get(message.partner_id), context)

    @handles(DecidePartnership, key="partner_id", atomic=True)
    async def decide(self, message: DecidePartnership, context: Context) -> PartnershipDetailView:
        """A decision that does not count any more is told so before anything is found wrong with it."""
        before = await self._to_be_judged(message.partner_id, context)
        before.expect(message.version)
        await expect_another(before, self._history, context)
        verdict = Verdict(message.decision, message.reason_code, message.note, context.now())
        check_commission(message.commission_bp, message.decision, self._most_commission_bp)
        after = decided(before, verdict, commission_bp=message.commission_bp, appeal_for=self._appeal_for)
        check_reason(REASONS, message.reason_code, message.decision)
        move = Move(message.decision.value)
        step = Step(move, message.reason_code.value, message.note, message.internal_note)
        await self._move(step, before, after, context)
        await context.enqueue(decision_notice(after), owner_id=after.owner)
        detail = await self._detail(after, context)
        if detail.undecided_terms and message.decision in _LEAVES_UNDECIDED:
            await context.enqueue(TellAdministrators(partner_id=after.id, event="undecided", version=after.version))
        return detail

    @handles(ChangeCommission, key="partner_id", atomic=True)
    async def change_commission(self, message: ChangeCommission, context: Context) -> PartnershipDetailView:
        before = await self._to_be_judged(message.partner_id, context)
        before.expect(message.version)
        check_commission(message.commission_bp, None, self._most_commission_bp)
        moved = before.moved(Move.COMMISSION, now=context.now())
        after = replace(moved, commission_bp=message.commission_bp)
        await self._move(Step(Move.COMMISSION, message.reason_code, message.note), before, after, context)
        await context.enqueue(commission_notice(before, after, message), owner_id=after.owner)
        return await self._detail(after, context)

    async def _to_be_judged(self, partner_id: str, tx: Context) -> Partner:
        """Raises `OwnPartnership`."""
        partner = await self._store.get(partner_id, session=tx.session)
        if tx.user_id == partner.owner or await tx.ask(AreAccountsLinked(one=tx.user_id, other=partner.owner)):
            raise OwnPartnership
        return partner

    async def _move(self, step: Step, before: Partner, after: Partner, tx: Context) -> None:
        by = before.owner if tx.principal is None else tx.user_id
        await self._store.replace(before, after, session=tx.session)
        await self._history.add(step, before, after, by=by, session=tx.session)
        was = {"state": before.state.value, "commission_bp": before.commission_bp}
        is_now = {"state": after.state.value, "commission_bp": after.commission_bp, "version": after.version}
        if step.reason_code is not None:
            is_now["reason_code"] = step.reason_code
        await tx.audit(f"partnership.{step.move}", after.id, before=was, after=is_now)
        await self._apps.judge_anew(after.id, now=after.updated_at, session=tx.session)
        if after.state is PartnerState.ENDED and before.state is not PartnerState.ENDED:
            for app in await self._apps.list_of(after.id, session=tx.session):
                await drop_webhooks(app, tx)
        await follow_state(before, after, tx)

    def _view(self, partner: Partner) -> PartnershipView:
        return self._as_paid(partner).view()

    def _as_paid(self, partner: Partner) -> Partner:
        """With what is paid of a sale now: the most that partners get may be less than when it was approved."""
        paid = None if partner.commission_bp is None else min(partner.commission_bp, self._most_commission_bp)
        return replace(partner, commission_bp=paid)

    async def _detail(self, partner: Partner, context: Context) -> PartnershipDetailView:
        group = await context.ask(GetAccountGroup(user_id=partner.owner))
        related = await self._store.list_of_owners(group, states=JUDGED, session=context.session)
        return PartnershipDetailView(
            partnership=self._view(partner),
            owner_id=partner.owner,
            appeal=partner.appeal,
            legal_decisions=partner.legal_decisions,
            undecided_terms=await context.ask(ListUndecidedTerms(partner_id=partner.id)),
            related=tuple(self._as_paid(one).row() for one in related if one.id != partner.id),
            history=await self._history.list_of(partner.id, session=context.session),
        )

    # Inside the service

    @handles(GetPartnerStanding, transactional=True)
    async def get_standing(self, message: GetPartnerStanding, context: Context) -> PartnerStanding | None:
        partner = await self._store.find(message.partner_id, session=context.session)
        if partner is None or partner.commission_bp is None:
            return None
        contact = await context.ask(GetContact(user_id=partner.owner))
        open_account = contact is not None and not contact.suspended
        return PartnerStanding(
            partner_id=partner.id,
            owner_id=partner.owner,
            state=partner.state,
            commission_bp=min(partner.commission_bp, self._most_commission_bp),
            earns=partner.state is PartnerState.APPROVED and open_account,
        )

    @handles(ListPartnerIds, transactional=True)
    async def list_ids(self, message: ListPartnerIds, context: Context) -> tuple[str, ...]:
        return tuple(await self._store.list_ids(message.owner_id, session=context.session))

    @handles(TellAdministrators, atomic=True)
    async def tell(self, message: TellAdministrators, context: Context) -> None:
        partner = await self._store.find(message.partner_id, session=context.session)
        if partner is not None:
            told = await context.ask(ListAdministrators())
            await context.enqueue_many(waiting_notices(partner, message.event, message.version, told))

    @handles(LeavePartnerships, key="user_id", atomic=True)
    async def leave(self, message: LeavePartnerships, context: Context) -> None:
        before = await self._store.find_open(message.user_id, session=context.session)
        if before is not None:
            after = replace(before.moved(Move.CLOSE, now=context.now()), appeal=None, appealed_at=None)
            await self._move(Step(Move.CLOSE), before, after, context)
        for partner_id in await self._store.list_ids(message.user_id, session=context.session):
            await context.enqueue(GiveUpCommissions(partner_id=partner_id), unique=f"given-up:{partner_id}")
