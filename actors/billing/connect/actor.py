"""Onboards sellers at Stripe. It is an actor of its own because it waits for Stripe, and nothing else should."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.billing.connect.domain import DEFAULT_BANK_HOLD, NOT_STARTED
from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.connect.messages import (
    BeginConnectOnboarding,
    ConnectView,
    GetConnectAccount,
    OnboardingView,
    RefreshConnectAccount,
)
from promptforge.actors.billing.connect.refreshing import ConnectRefresher
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.errors import StripeRefused
from promptforge.actors.billing.stripe.connect import ConnectedAccounts
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class ConnectActor(Actor):
    """`bank_hold`: how old bank details must be for a payout."""

    name = "connect"
    workers = 32

    def __init__(
        self,
        store: ConnectStore,
        refresher: ConnectRefresher,
        accounts: ConnectedAccounts,
        earners: Earners,
        *,
        bank_hold: timedelta = DEFAULT_BANK_HOLD,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._accounts = accounts
        self._earners = earners
        self._bank_hold = bank_hold

    @handles(BeginConnectOnboarding)
    async def begin(self, message: BeginConnectOnboarding, context: Context) -> OnboardingView:
        """However often it is asked, there is one account: its key is stored before Stripe hears of it."""
        await self._earners.expect(context)
        account = await self._store.begin(context.user_id, message.country, now=context.now())
        account_id = account.account_id
        if account_id is None:
            try:
                made = await self._accounts.create(account.request)
            except StripeRefused:
                await self._store.spend_key(account, now=context.now())
                raise
            account_id = await self._store.set_account(context.user_id, made)
        await self._refresher.refresh(account_id, context)
        link = await self._accounts.link(account_id)
        return OnboardingView(link.url, link.expires_at)

    @handles(GetConnectAccount)
    async def get(self, message: GetConnectAccount, context: Context) -> ConnectView:
        account = await self._store.find(context.user_id)
        return NOT_STARTED if account is None else account.view(hold=self._bank_hold)

    @handles(RefreshConnectAccount, key="account_id")
    async def refresh(self, message: RefreshConnectAccount, context: Context) -> bool:
        return await self._refresher.refresh(message.account_id, context) is not None
