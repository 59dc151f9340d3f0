"""By which right somebody runs a listing, what that says about the run, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.errors import (
    ListingSuspended,
    NotForSale,
    NotRunnable,
    RunsBarred,
    RunsNotBought,
    RunsStopped,
    TrialsUsedUp,
)
from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.store import PurchaseStore
from promptforge.actors.marketplace.sealed.messages import RunGround
from promptforge.actors.marketplace.sealed.store import Account, AccountStore
from promptforge.actors.users.messages import ExpectOpenAccounts
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, AccountSuspended


@dataclass(frozen=True, slots=True)
class Ground:
    """What is run, by which right; `terms` as stored. `group`: who is counted together, the head first."""

    right: RunGround | None
    listing: Listing
    version: int
    content_hash: str
    terms: dict[str, Any]  # Any: a MongoDB document
    purchase_id: str | None
    group: tuple[str, ...]
    account: Account
    offered: bool = True
    """Whether its seller's account is open: nobody tries anything of others'."""

    @property
    def trials_left(self) -> int:
        if self.account.barred or not self.offered:
            return 0
        return max(0, int(self.terms["trials_per_person"]) - self.account.trials)

    @property
    def share(self) -> int:
        return int(self.terms["share"]) if self.right is RunGround.PURCHASE else 0


class Grounds:
    def __init__(self, listings: ListingStore, purchases: PurchaseStore, accounts: AccountStore) -> None:
        self.listings = listings
        self.purchases = purchases
        self._accounts = accounts

    async def find(self, listing_id: str, tx: Context) -> Ground:
        """How the principal can run a listing; without a right where they cannot, or not any more.

        Raises `NotFound` for what they must not know of, and `NotRunnable`.
        """
        user_id = tx.user_id
        listing = await self.listings.get(listing_id, session=tx.session)
        own = listing.seller_id == user_id
        bought = None if own else await self.purchases.find_runs(user_id, listing_id, session=tx.session)
        if not own and bought is None and listing.state is not ListingState.PUBLISHED:
            raise no_listing()
        terms = listing.runs if bought is None else bought.runs
        if terms is None:
            raise NotRunnable
        group = await tx.ask(GetAccountGroup(user_id=user_id))
        account = await self._accounts.get(listing.prompt_id, group, session=tx.session)
        source = listing if bought is None else bought
        right = RunGround.OWN if own else RunGround.PURCHASE if bought is not None else RunGround.TRIAL
        purchase_id = None if bought is None else bought.id
        ground = Ground(right, listing, source.version, source.content_hash, terms, purchase_id, group, account)
        if right is RunGround.TRIAL:
            ground = replace(ground, offered=await _account_of(listing.seller_id, tx) is None)
            return ground if ground.trials_left else replace(ground, right=None)
        return ground

    async def is_unclaimed(self, ground: Ground, tx: Context) -> bool:
        """Whether the share that a run earns has nobody to go to any more."""
        return isinstance(await _account_of(ground.listing.seller_id, tx), AccountClosed)

    async def take(self, listing_id: str, tx: Context) -> Ground:
        """The same for a run that begins now: a purchase is used from here on, and a trial is one of so many.

        Where the run answers nothing, its end gives the use of a purchase back. A trial is used all the same.

        Raises besides `RunsBarred`, `RunsNotBought`, `TrialsUsedUp`, `NotForSale`, `RunsStopped` and
        `ListingSuspended`.
        """
        ground = await self.find(listing_id, tx)
        if ground.right is RunGround.OWN:
            return ground
        if ground.account.barred:
            raise RunsBarred.of(listing_id)
        if not ground.offered:
            raise NotForSale
        if ground.right is None:
            raise TrialsUsedUp if ground.terms["trials_per_person"] else RunsNotBought
        if ground.account.stopped_at is not None:
            raise RunsStopped
        if ground.listing.state is ListingState.SUSPENDED:
            raise ListingSuspended
        if ground.purchase_id is not None:
            await self.purchases.begin_run(ground.purchase_id, now=tx.now(), session=tx.session)
        else:
            await self._accounts.add_trial(ground.listing.prompt_id, ground.group[0], session=tx.session)
        return ground


async def _account_of(seller_id: str, tx: Context) -> AccountClosed | AccountSuspended | None:
    """What is wrong with it; None where nothing is."""
    try:
        await tx.ask(ExpectOpenAccounts(user_ids=(seller_id,)))
    except (AccountClosed, AccountSuspended) as error:
        return error
    return None
