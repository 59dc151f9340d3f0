"""The ledger's side of partnerships."""

from __future__ import annotations

from promptforge.actors.billing.ledger.commissions import appeals, commands
from promptforge.actors.billing.ledger.commissions.domain import Freeze, FreezeState
from promptforge.actors.billing.ledger.commissions.messages import (
    AnswerFreeze,
    AppealFreeze,
    CarryOutFreeze,
    CollectCommissions,
    CommissionDay,
    CommissionsStand,
    DecideFreeze,
    FreezeCommissions,
    FrozenTerm,
    GetCommissions,
    GetFreeze,
    ListSoldCodes,
    ListUndecidedFreezes,
    ListUndecidedTerms,
    RestoreForfeited,
    SumCommissions,
    UndecidedFreeze,
)
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class CommissionsActor(Actor):
    name = "commissions"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(FreezeCommissions, key="partner_id", transactional=True)
    async def freeze(self, message: FreezeCommissions, context: Context) -> int:
        frozen = await context.transaction(lambda tx: commands.freeze(self._ledger.open(tx), message.partner_id))
        return frozen.term

    @handles(DecideFreeze, key="partner_id", transactional=True)
    async def decide(self, message: DecideFreeze, context: Context) -> FrozenTerm:
        async def work(tx: Context) -> Freeze:
            decided = await commands.decide(self._ledger.open(tx), message)
            carry_out = CarryOutFreeze(partner_id=message.partner_id, term=message.term)
            await tx.enqueue(carry_out, unique=f"freeze:{decided.id}")
            pending = await self._ledger.commissions.pending_of(message.partner_id, session=tx.session)
            amount = from_millicredits(pending.get(message.term, 0))
            before = {"state": FreezeState.FROZEN.value, "term": message.term, "pending": amount}
            after = {"state": decided.state.value, "term": message.term, "reason_code": message.reason_code}
            await tx.audit(f"commissions.{decided.state}", message.partner_id, before=before, after=after)
            return decided

        decided = await context.transaction(work)
        return _frozen_term(decided, await self._ledger.commissions.pending_of(message.partner_id))

    @handles(GetFreeze, transactional=True)
    async def get_freeze(self, message: GetFreeze, context: Context) -> FrozenTerm:
        store, partner_id, session = self._ledger.commissions, message.partner_id, context.session
        freeze = await store.find_freeze(partner_id, message.term, session=session)
        if freeze is None:
            raise NotFound("Nothing of this partner was frozen then")
        forfeited = await store.forfeited_of(partner_id, session=session)
        return _frozen_term(freeze, await store.pending_of(partner_id, session=session), forfeited)

    @handles(AppealFreeze, key="partner_id", transactional=True)
    async def appeal(self, message: AppealFreeze, context: Context) -> FrozenTerm:
        async def work(tx: Context) -> Freeze:
            appealed = await appeals.appeal(self._ledger.open(tx), message)
            await tx.audit("commissions.appealed", message.partner_id, after={"term": message.term})
            return appealed

        return _frozen_term(await context.transaction(work), {})

    @handles(AnswerFreeze, key="partner_id", transactional=True)
    async def answer(self, message: AnswerFreeze, context: Context) -> FrozenTerm:
        async def work(tx: Context) -> Freeze:
            store, partner_id = self._ledger.commissions, message.partner_id
            answered = await appeals.answer(self._ledger.open(tx), message)
            if message.granted:
                restore = RestoreForfeited(partner_id=partner_id, term=message.term)
                await tx.enqueue(restore, unique=f"restore:{answered.id}")
            amount = (await store.forfeited_of(partner_id, session=tx.session)).get(message.term, 0)
            before = {
                "state": FreezeState.FORFEITED.value,
                "term": message.term,
                "forfeited": from_millicredits(amount),
            }
            after = {"state": answered.state.value, "term": message.term, "reason_code": message.reason_code}
            action = "commissions.restored" if message.granted else "commissions.upheld"
            await tx.audit(action, partner_id, before=before, after=after)
            return answered

        return _frozen_term(await context.transaction(work), {})

    @handles(CollectCommissions, key="partner_id", transactional=True)
    async def collect(self, message: CollectCommissions, context: Context) -> int:
        async def work(tx: Context) -> int:
            return await commands.collect(
                self._ledger.open(tx),
                message.collection_id,
                partner_id=message.partner_id,
                owner_id=message.owner_id,
                amount=message.amount_millicredits,
            )

        return await context.transaction(work)

    @handles(GetCommissions)
    async def get_commissions(self, message: GetCommissions, context: Context) -> CommissionsStand:
        store = self._ledger.commissions
        pending = await store.pending_of(message.partner_id)
        freezes = await store.list_freezes(message.partner_id)
        forfeited = await store.forfeited_of(message.partner_id)
        frozen = sum(pending.get(one.term, 0) for one in freezes if one.state is FreezeState.FROZEN)
        return CommissionsStand(
            pending=sum(pending.values()) - frozen,
            frozen=frozen,
            earned=(await store.balance_of(message.partner_id)).earned,
            freezes=tuple(_frozen_term(one, pending, forfeited) for one in freezes),
        )

    @handles(ListUndecidedFreezes)
    async def list_undecided(self, message: ListUndecidedFreezes, context: Context) -> Page[UndecidedFreeze]:
        return await self._ledger.commissions.list_undecided(
            appealed=message.appealed, cursor=Cursor.decode_optional(message.cursor), limit=message.limit
        )

    @handles(ListUndecidedTerms, transactional=True)
    async def list_undecided_terms(self, message: ListUndecidedTerms, context: Context) -> tuple[int, ...]:
        store = self._ledger.commissions
        return tuple(await store.list_undecided_terms(message.partner_id, session=context.session))

    @handles(ListSoldCodes)
    async def list_sold_codes(self, message: ListSoldCodes, context: Context) -> tuple[str, ...]:
        return tuple(await self._ledger.commissions.sold_codes(message.referrer_id))

    @handles(SumCommissions)
    async def sum_commissions(self, message: SumCommissions, context: Context) -> tuple[CommissionDay, ...]:
        found = await self._ledger.commissions.sum_by_day(message.partner_id, since=message.since, until=message.until)
        return tuple(found)


def _frozen_term(freeze: Freeze, pending: dict[int, int], forfeited: dict[int, int] | None = None) -> FrozenTerm:
    return FrozenTerm(
        term=freeze.term,
        state=freeze.state.value,
        pending=pending.get(freeze.term, 0),
        frozen_at=freeze.frozen_at,
        decided_at=freeze.decided_at,
        reason=freeze.reason,
        reason_code=freeze.reason_code,
        forfeited=(forfeited or {}).get(freeze.term, 0),
        appeal_until=freeze.appeal_until,
        appeal=freeze.appeal,
        appealed_at=freeze.appealed_at,
        answer=freeze.answer,
        answer_code=freeze.answer_code,
        answered_by=freeze.answered_by,
        answered_at=freeze.answered_at,
        decided_by=freeze.decided_by,
    )
