"""Sells credit packs. It is an actor of its own because it waits for Stripe, and nothing else should wait with it."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.billing.beginning import KEY_LIVES, begun_or_id
from promptforge.actors.billing.checkouts.domain import Checkout
from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.customers.making import Customers
from promptforge.actors.billing.errors import CustomerGone, StripeRefused
from promptforge.actors.billing.messages import (
    CheckoutState,
    CheckoutView,
    CreateCheckout,
    CreditPacksView,
    GetCheckout,
    GetWithdrawalWaiver,
    ListCreditPacks,
    WithdrawalWaiverView,
)
from promptforge.actors.billing.packs import DEFAULT_PACKS, CreditPack, packs_by_id
from promptforge.actors.billing.stripe.sessions import CheckoutSessions, SessionRequest
from promptforge.actors.billing.terms import WITHDRAWAL_WAIVER, Waiver, accept, waiver_text
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.failpoints import reach
from promptforge.core.runtime import Actor, handles

TRIES = 3
"""What an earlier request has left unfinished may name a customer that was deleted at Stripe, too."""


class CheckoutsActor(Actor):
    """Whoever made `sessions` closes it, after the actor has stopped: a restarted actor goes on using it."""

    name = "checkouts"
    workers = 32

    def __init__(
        self,
        store: CheckoutStore,
        customers: Customers,
        sessions: CheckoutSessions,
        *,
        packs: Sequence[CreditPack] = DEFAULT_PACKS,
    ) -> None:
        self._store = store
        self._customers = customers
        self._sessions = sessions
        self._packs = packs_by_id(packs)

    @handles(ListCreditPacks)
    async def list_packs(self, message: ListCreditPacks, context: Context) -> CreditPacksView:
        return CreditPacksView(tuple(pack.view() for pack in self._packs.values()))

    @handles(GetWithdrawalWaiver)
    async def get_waiver(self, message: GetWithdrawalWaiver, context: Context) -> WithdrawalWaiverView:
        return WithdrawalWaiverView(WITHDRAWAL_WAIVER, waiver_text())

    @handles(CreateCheckout)
    async def create(self, message: CreateCheckout, context: Context) -> CheckoutView:
        pack = self._packs.get(message.pack_id)
        if pack is None:
            raise NotFound("There is no such credit pack")
        waiver = accept(message.withdrawal_waiver, now=context.now())
        for _ in range(TRIES):
            checkout = await self._begin(pack, waiver, context)
            if checkout.state is not CheckoutState.CREATING:
                return checkout.view()
            reach("checkout.before_call")
            try:
                session = await self._sessions.create(_request(checkout))
            except CustomerGone:
                await self._store.give_up(checkout.id)
                await self._customers.forget(context, checkout.customer_id)
                continue
            except StripeRefused:
                await self._store.give_up(checkout.id)
                raise
            reach("checkout.after_call")
            opened = await self._store.open(checkout.id, session)
            return opened.view()
        raise StripeRefused("The payment provider does not know you; try again")

    async def _begin(self, pack: CreditPack, waiver: Waiver, context: Context) -> Checkout:
        """The key is stored before Stripe hears of it, and one whose outcome is unknown is sent again."""
        customer_id, now = await self._customers.of(context), context.now()
        begun = await begun_or_id(
            context,
            "chk",
            find=self._store.find,
            find_unfinished=lambda: self._store.find_unfinished(context.user_id, pack, since=now - KEY_LIVES),
        )
        if isinstance(begun, Checkout):
            return begun
        checkout = Checkout(
            id=begun,
            user_id=context.user_id,
            pack=pack,
            idempotency_key=f"checkout:{begun}",
            state=CheckoutState.CREATING,
            session_id=None,
            url=None,
            created_at=now,
            paid_at=None,
            customer_id=customer_id,
            waiver=waiver,
        )
        await self._store.insert(checkout)
        return checkout

    @handles(GetCheckout)
    async def get(self, message: GetCheckout, context: Context) -> CheckoutView:
        return (await self._store.get_own(message.checkout_id, context.user_id)).view()


def _request(checkout: Checkout) -> SessionRequest:
    return SessionRequest(
        checkout_id=checkout.id,
        idempotency_key=checkout.idempotency_key,
        title=f"{from_millicredits(checkout.pack.total)} PromptForge credits",
        amount=checkout.pack.price_minor_units,
        currency=checkout.pack.currency,
        customer_id=checkout.customer_id,
    )
