"""Posts what moves at Stripe, and compares the sums with Stripe's balance once a day."""

from __future__ import annotations

from dataclasses import replace

import structlog

from promptforge.actors.billing.money.domain import OVERLAP_SECONDS, Sweep, compare
from promptforge.actors.billing.money.messages import CompareMoney, PostMoney
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.stripe.movements import StripeMoney
from promptforge.core.context import Context
from promptforge.core.errors import Unavailable
from promptforge.core.runtime import Actor, handles

LOOKS = 5
"""How often a comparison starts over because money moved meanwhile."""

log = structlog.get_logger(__name__)


class MoneyActor(Actor):
    """`stripe` is None where a sandbox of this process stands in for it: its money is gone with the process."""

    name = "money"

    def __init__(self, store: MoneyStore, stripe: StripeMoney | None) -> None:
        self._store = store
        self._stripe = stripe

    @handles(PostMoney)
    async def post(self, message: PostMoney, context: Context) -> int:
        return 0 if self._stripe is None else await self._walk(self._stripe, context)

    @handles(CompareMoney)
    async def compare(self, message: CompareMoney, context: Context) -> bool:
        """Stripe's balance is that of a moment: it counts where nothing was new after it was asked for."""
        if self._stripe is None:
            return True
        await self._walk(self._stripe, context)
        for _ in range(LOOKS):
            balance = await self._stripe.balance()
            if await self._walk(self._stripe, context) == 0:
                break
        else:
            raise Unavailable("Money moves faster than it can be compared")
        livemode = self._stripe.livemode
        found = compare(balance, await self._store.sums(livemode=livemode))
        await self._store.insert_comparison(found, livemode=livemode, now=context.now())
        for one in found:
            level = log.info if one.ok else log.error
            event = "money.equal" if one.ok else "money.differs"
            level(event, currency=one.currency, stripe=one.stripe, ledger=one.ledger)
        return all(one.ok for one in found)

    async def _walk(self, stripe: StripeMoney, context: Context) -> int:
        """Go over Stripe's list once, from where an interrupted walk was; answers how many movements were new."""
        mode = {"livemode": stripe.livemode}
        through, sweep = await self._store.find_sweep(**mode)
        if sweep is not None:
            posted = await self._finish(stripe, through, sweep, context)
            through, _ = await self._store.find_sweep(**mode)
        else:
            posted = 0
        return posted + await self._finish(stripe, through, Sweep(max(0, through - OVERLAP_SECONDS)), context)

    async def _finish(self, stripe: StripeMoney, through: int, sweep: Sweep, context: Context) -> int:
        posted = 0
        while True:
            page = await stripe.list_movements(since=sweep.since, after=sweep.after)
            posted += await self._store.post(page.movements, livemode=stripe.livemode, now=context.now())
            if page.movements:
                newest = sweep.newest if sweep.newest is not None else page.movements[0].created
                sweep = replace(sweep, newest=newest, after=page.movements[-1].id)
            if not page.more or not page.movements:
                await self._store.put_sweep(max(through, sweep.newest or 0), None, livemode=stripe.livemode)
                return posted
            await self._store.put_sweep(through, sweep, livemode=stripe.livemode)
