"""The ledger's side of partnerships."""

from __future__ import annotations

from promptforge.actors.billing.ledger.commissions import commands
from promptforge.actors.billing.ledger.commissions.domain import Freeze, FreezeState
from promptforge.actors.billing.ledger.commissions.messages import (
    CarryOutFreeze,
    CollectCommissions,
    CommissionDay,
    CommissionsStand,
    DecideFreeze,
    FreezeCommissions,
    FrozenTerm,
    GetCommissions,
    ListSoldCodes,
    ListUndecidedFreezes,
    ListUndecidedTerms,
    SumCommissions,
    UndecidedFreeze,
)
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
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
        frozen = sum(pending.get(one.term, 0) for one in freezes if one.state is FreezeState.FROZEN)
        return CommissionsStand(
            pending=sum(pending.values()) - frozen,
            frozen=frozen,
            earned=(await store.balance_of(message.partner_id)).earned,
            freezes=tuple(_frozen_term(one, pending) for one in freezes),
        )

    @handles(ListUndecidedFreezes)
    async def list_undecided(self, message: ListUndecidedFreezes, context: Context) -> Page[UndecidedFreeze]:
        return await self._ledger.commissions.list_undecided(
            cursor=Cursor.decode_optional(message.cursor), limit=message.limit
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


def _frozen_term(freeze: Freeze, pending: dict[int, int]) -> FrozenTerm:
    return FrozenTerm(
        term=freeze.term,
        state=freeze.state.value,
        pending=pending.get(freeze.term, 0),
        frozen_at=freeze.frozen_at,
        decided_at=freeze.decided_at,
        reason=freeze.reason,
        reason_code=freeze.reason_code,
    )
