"""Answers what of somebody's money is not finished."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.ledger.domain import Fund, Owed
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.obligations.messages import GetObligations, Obligations
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.subscriptions.store import SubscriptionStore
from promptforge.actors.partnerships.messages import ListPartnerIds
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

PAGES_PASS = timedelta(hours=25)
"""Stripe's pages for payments pass after 24 hours."""
SETTLES_WITHIN = timedelta(days=60)
"""The slowest ways to pay take two weeks. What Stripe has not told by then it does not tell any more."""


class ObligationsActor(Actor):
    name = "obligations"
    asks = ("partners",)

    def __init__(
        self, ledger: Ledger, checkouts: CheckoutStore, payouts: PayoutStore, subscriptions: SubscriptionStore
    ) -> None:
        self._ledger = ledger
        self._checkouts = checkouts
        self._payouts = payouts
        self._subscriptions = subscriptions

    @handles(GetObligations, transactional=True)
    async def get(self, message: GetObligations, context: Context) -> Obligations:
        user_id, session = message.user_id, context.session
        holdings = await self._ledger.entries.get_holdings(user_id, session=session)
        unfolded = await self._ledger.entries.sum_unfolded(user_id, holdings.pending_through, session=session)
        partner_ids = await context.ask(ListPartnerIds(owner_id=user_id))
        settling = context.now() - SETTLES_WITHIN
        shown = context.now() - PAGES_PASS
        pending = holdings.balance(Owed.PENDING) + unfolded.amount
        return Obligations(
            debt=holdings.balance(Owed.DEBT) != 0,
            reserved=holdings.balance(Owed.RESERVED) != 0,
            payout=await self._payouts.find_open(user_id, session=session) is not None,
            dispute=await self._ledger.topups.has_open_dispute(user_id, session=session),
            subscription=await self._subscriptions.find_going_on(user_id, session=session) is not None,
            payment=await self._checkouts.has_unsettled(user_id, since=settling, session=session),
            page=await self._checkouts.has_page(user_id, since=shown, session=session)
            or await self._subscriptions.has_page(user_id, since=shown, session=session),
            left=sum(holdings.balance(fund) for fund in Fund)
            + max(pending, 0)
            + await self._ledger.commissions.uncollected_of(partner_ids, session=session),
        )
