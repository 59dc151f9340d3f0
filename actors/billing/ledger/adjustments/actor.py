"""Grants and write-offs. Of large ones one operator asks, another decides, and what was approved moves with that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from promptforge.actors.billing.errors import AdjustmentDecided, GrantTooLarge, OwnAdjustment, RecipientClosed
from promptforge.actors.billing.ledger.adjustments.commands import grant, write_off
from promptforge.actors.billing.ledger.adjustments.domain import until
from promptforge.actors.billing.ledger.adjustments.store import ADJUSTMENT_PREFIX, Adjustment, AdjustmentStore, Decision
from promptforge.actors.billing.ledger.messages import (
    AdjustmentKind,
    AdjustmentState,
    AdjustmentView,
    ApproveAdjustment,
    ListAdjustments,
    RejectAdjustment,
    RequestAdjustment,
    WarnOfExpiry,
)
from promptforge.actors.billing.ledger.transaction import Ledger, session_of
from promptforge.actors.billing.messages import GrantCredits, GrantView
from promptforge.actors.billing.notices import credits_granted
from promptforge.actors.users.messages import ExpectOpenAccounts
from promptforge.core.amounts import MILLI, from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, AccountSuspended, FieldError, Invalid
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

DEFAULT_GRANT_CAP = 10_000 * MILLI
WARNED_BEFORE = timedelta(days=14)
GRANTS_A_DAY = 10
"""What one admin may give away on one day, in grants as large as one may be. More needs two operators."""


@dataclass(frozen=True, slots=True)
class Gift:
    """Millicredits for somebody, and what they are told of the reason."""

    id: str
    user_id: str
    amount: int
    reason: str


class AdjustmentsActor(Actor):
    """`grant_cap`: millicredits that one grant may give without a second operator. `lasting`: until gifts expire."""

    name = "adjustments"
    asks = ("users",)

    def __init__(
        self,
        adjustments: AdjustmentStore,
        ledger: Ledger,
        *,
        grant_cap: int = DEFAULT_GRANT_CAP,
        lasting: timedelta | None = None,
    ) -> None:
        self._adjustments = adjustments
        self._ledger = ledger
        self._grant_cap = grant_cap
        self._lasting = lasting

    @handles(GrantCredits, key="user_id", transactional=True)
    async def grant_credits(self, message: GrantCredits, context: Context) -> GrantView:
        amount = to_millicredits(message.amount)
        if amount == 0:
            error = FieldError("A grant gives something", "too_small", pointer="/amount")
            raise Invalid("The amount is zero", errors=(error,))
        if amount > self._grant_cap:
            raise GrantTooLarge(f"One grant gives at most {from_millicredits(self._grant_cap)} credits")
        if message.user_id == context.user_id:
            raise OwnAdjustment("Nobody gives credits to themselves: ask for an adjustment, which another one approves")
        grant_id = new_id("grt")
        refs = {"grant_id": grant_id, "reason": message.reason, "granted_by": context.user_id}

        async def work(tx: Context) -> datetime | None:
            await self._spend_budget(amount, tx)
            expires_at = await self._give(Gift(grant_id, message.user_id, amount, message.reason), refs, tx)
            granted = {"user_id": message.user_id, "credits": message.amount}
            await tx.audit("credits.granted", grant_id, after=granted)
            return expires_at

        expires_at = await context.transaction(work)
        return GrantView(
            grant_id, message.user_id, from_millicredits(amount), message.reason, context.now(), expires_at
        )

    async def _give(self, gift: Gift, refs: Mapping[str, str], tx: Context) -> datetime | None:
        """Post it, and have its owner told of it, also before it expires; answers when that is.

        It writes the owner's balances, which are in the document that a closing writes: of two at once one begins
        again. Raises `RecipientClosed`.
        """
        await _expect_recipient(gift.user_id, tx)
        expires_at = tx.now() + self._lasting if self._lasting is not None else None
        given = {**refs, **until(expires_at)}
        await grant(self._ledger.open(tx), gift.id, user_id=gift.user_id, amount=gift.amount, refs=given)
        await tx.enqueue(credits_granted(f"grant:{gift.id}", gift.user_id, gift.amount, gift.reason))
        if expires_at is not None:
            warning = WarnOfExpiry(user_id=gift.user_id, lot=f"grant:{gift.id}")
            await tx.enqueue(warning, run_at=max(tx.now(), expires_at - WARNED_BEFORE))
        return expires_at

    async def _spend_budget(self, amount: int, tx: Context) -> None:
        """Many small grants are a large one."""
        limit = self._grant_cap * GRANTS_A_DAY
        if not await self._adjustments.spend_budget(
            tx.user_id, amount, limit=limit, now=tx.now(), session=session_of(tx)
        ):
            raise GrantTooLarge(f"One may give away {from_millicredits(limit)} credits a day; more needs two")

    @handles(RequestAdjustment, transactional=True)
    async def request(self, message: RequestAdjustment, context: Context) -> AdjustmentView:
        amount = to_millicredits(message.amount)
        if amount == 0:
            error = FieldError("It moves something", "too_small", pointer="/amount")
            raise Invalid("The amount is zero", errors=(error,))
        adjustment = Adjustment(
            id=new_id(ADJUSTMENT_PREFIX),
            kind=message.kind,
            state=AdjustmentState.REQUESTED,
            user_id=message.user_id,
            amount=amount,
            reason=message.reason,
            requested_by=context.user_id,
            created_at=context.now(),
        )

        async def work(tx: Context) -> AdjustmentView:
            await self._ledger.open(tx).holdings(message.user_id)  # raises NotFound for nobody
            if message.kind is AdjustmentKind.GRANT:
                await _expect_recipient(message.user_id, tx)
            await self._adjustments.insert(adjustment, session=tx.session)
            await tx.audit("adjustment.requested", adjustment.id, after=_facts(adjustment))
            return adjustment.view()

        return await context.transaction(work, completes=True)

    @handles(ListAdjustments)
    async def list_adjustments(self, message: ListAdjustments, context: Context) -> Page[AdjustmentView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._adjustments.list_page(message.state, cursor, message.limit)

    @handles(ApproveAdjustment, key="adjustment_id", transactional=True)
    async def approve(self, message: ApproveAdjustment, context: Context) -> AdjustmentView:
        async def work(tx: Context) -> AdjustmentView:
            asked = await self._adjustments.get(message.adjustment_id, session=tx.session)
            if tx.user_id in {asked.requested_by, asked.user_id}:
                raise OwnAdjustment
            adjustment = await self._decide(asked, AdjustmentState.APPROVED, None, tx)
            await self._carry_out(adjustment, tx)
            return adjustment.view()

        return await context.transaction(work, completes=True)

    @handles(RejectAdjustment, key="adjustment_id", transactional=True)
    async def reject(self, message: RejectAdjustment, context: Context) -> AdjustmentView:
        async def work(tx: Context) -> AdjustmentView:
            asked = await self._adjustments.get(message.adjustment_id, session=tx.session)
            return (await self._decide(asked, AdjustmentState.REJECTED, message.reason, tx)).view()

        return await context.transaction(work, completes=True)

    async def _decide(self, asked: Adjustment, state: AdjustmentState, reason: str | None, tx: Context) -> Adjustment:
        decision = Decision(state, tx.user_id, tx.now(), reason)
        adjustment = await self._adjustments.decide(asked.id, decision, session=tx.session)
        if adjustment is None:
            raise AdjustmentDecided(f"It was {asked.state} before", extra={"state": asked.state.value})
        await tx.audit(f"adjustment.{state}", asked.id, before=_facts(asked), after=_facts(adjustment))
        return adjustment

    async def _carry_out(self, adjustment: Adjustment, tx: Context) -> None:
        books, user_id, amount = self._ledger.open(tx), adjustment.user_id, adjustment.amount
        refs = {
            "adjustment_id": adjustment.id,
            "reason": adjustment.reason,
            "requested_by": adjustment.requested_by,
            "granted_by": adjustment.decided_by or "",
        }
        if adjustment.kind is AdjustmentKind.WRITE_OFF:
            await write_off(books, adjustment.id, user_id=user_id, amount=amount, refs=refs)
            return
        await self._give(Gift(adjustment.id, user_id, amount, adjustment.reason), refs, tx)


async def _expect_recipient(user_id: str, tx: Context) -> None:
    """Who is suspended may be given credits: they may come back. A debt is written off whoever has left."""
    try:
        await tx.ask(ExpectOpenAccounts(user_ids=(user_id,)))
    except AccountClosed:
        raise RecipientClosed from None
    except AccountSuspended:
        pass


def _facts(adjustment: Adjustment) -> dict[str, str]:
    """For the audit log, which holds no texts: the reasons are the adjustment's."""
    return {
        "kind": adjustment.kind.value,
        "state": adjustment.state.value,
        "user_id": adjustment.user_id,
        "credits": from_millicredits(adjustment.amount),
    }
