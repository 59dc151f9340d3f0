"""Appeals against what stopped somebody's runs for good: one for all whom it stops."""

from __future__ import annotations

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.errors import NothingToAppeal
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.rulings import domain as rulings
from promptforge.actors.marketplace.rulings.domain import Why, ruling_view
from promptforge.actors.marketplace.rulings.messages import RulingView
from promptforge.actors.marketplace.sealed.messages import AppealRuns, DecideRunsAppeal, GetRunsRuling, IsRunsAppealed
from promptforge.actors.marketplace.sealed.rulings import RunsRuling, RunsRulingStore
from promptforge.actors.marketplace.sealed.store import AccountStore
from promptforge.actors.marketplace.sealed.telling import appeal_case, appeal_notices
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class SealedAppealsActor(Actor):
    name = "sealed_appeals"
    asks = ("billing",)

    def __init__(self, kept: RunsRulingStore, accounts: AccountStore, listings: ListingStore) -> None:
        self._rulings = kept
        self._accounts = accounts
        self._listings = listings

    @handles(GetRunsRuling, transactional=True)
    async def get(self, message: GetRunsRuling, context: Context) -> RulingView:
        return _view((await self._find(message.listing_id, context)).ruling)

    async def _find(self, listing_id: str, context: Context) -> RunsRuling:
        """A bar is for the prompt, whichever listing of it one asks about, and for all who are linked by now."""
        listing = await self._listings.get(listing_id, session=context.session)
        group = await context.ask(GetAccountGroup(user_id=context.user_id))
        account = await self._accounts.get(listing.prompt_id, group, session=context.session)
        return await self._rulings.get(
            listing.prompt_id, context.user_id, barred_by=account.barred_by, session=context.session
        )

    @handles(AppealRuns, key="listing_id", atomic=True)
    async def appeal(self, message: AppealRuns, context: Context) -> RulingView:
        """Of two at once, of one person or of two, the second conflicts, starts over and sees the first."""
        kept = await self._find(message.listing_id, context)
        ruling = rulings.appealed(kept.ruling, context.now())
        await self._rulings.appeal(kept.case_id, ruling, context.user_id, session=context.session)
        listing = await self._listings.get(kept.listing_id, session=context.session)
        case = appeal_case(listing, kept, message.words, context.user_id)
        await context.enqueue(case, unique=f"extraction_appeal:{kept.case_id}")
        return _view(ruling)

    @handles(IsRunsAppealed, transactional=True)
    async def is_appealed(self, message: IsRunsAppealed, context: Context) -> bool:
        kept = await self._rulings.find(message.case_id, session=context.session)
        return kept is not None and rulings.waits(kept.ruling)

    @handles(DecideRunsAppeal, key="case_id", atomic=True)
    async def decide(self, message: DecideRunsAppeal, context: Context) -> None:
        kept = await self._rulings.find(message.case_id, session=context.session)
        if kept is None or not rulings.waits(kept.ruling):
            raise NothingToAppeal
        why = Why(message.appeal_id, message.reason_code, message.public_note)
        ruling = rulings.heard(kept.ruling, why, context.now(), granted=message.granted)
        await self._rulings.put(kept.case_id, ruling, session=context.session)
        if message.granted:
            await self._accounts.lift(kept.prompt_id, kept.case_id, session=context.session)
        listing = await self._listings.get(kept.listing_id, session=context.session)
        for notice in appeal_notices(message, kept, listing):
            await context.enqueue(notice, owner_id=notice.user_id)
        facts = {"listing_id": kept.listing_id, "reason_code": message.reason_code, "granted": str(message.granted)}
        await context.audit("runs.appeal_decided", kept.case_id, after=facts)


def _view(ruling: rulings.Ruling) -> RulingView:
    view = ruling_view(ruling)
    if view is None:
        raise RuntimeError("a ruling that is kept is there")
    return view
