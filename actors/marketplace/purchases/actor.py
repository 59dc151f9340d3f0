"""Purchases. A sale is one transaction: entitlement, ledger, purchase and the notifications' jobs, or none of them.

A purchase reads its listing in the transaction's snapshot and writes nothing to it, so a popular listing is no hot
document. Sales beside an unlisting or a new price are serialisable without that: those moves read nothing that a sale
writes, so every sale takes its place at its snapshot, before or after the move. A move that was acknowledged before the
purchase began is always seen, because both are majority writes and every attempt takes a new snapshot.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from promptforge.actors.billing.ledger.messages import ReverseSale
from promptforge.actors.billing.messages import Charge, ChargePurchase, GetAccountGroup, SaleCommission
from promptforge.actors.marketplace.documents.owned import Owned
from promptforge.actors.marketplace.errors import (
    AlreadyOwned,
    LicenceChanged,
    NoRefundRequested,
    NotForSale,
    OwnListing,
    PriceChanged,
    PurchaseRefunded,
    RunsBarred,
    RunsStopped,
    StaleRevision,
)
from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing
from promptforge.actors.marketplace.messages import (
    FindPurchasedSource,
    GetPurchase,
    Licence,
    ListingState,
    ListPurchases,
    ListSales,
    PurchasedContentView,
    PurchasedSource,
    PurchaseListing,
    PurchaseView,
    RefundPurchase,
    RevokePurchase,
    SaleView,
    UsePurchasedSource,
)
from promptforge.actors.marketplace.packaged import find_offer
from promptforge.actors.marketplace.purchases import notices, refunds
from promptforge.actors.marketplace.purchases.cases import refund_case
from promptforge.actors.marketplace.purchases.domain import REFUND_POLICY
from promptforge.actors.marketplace.purchases.messages import (
    AppealRefund,
    GiveBackUse,
    GrantRefund,
    HasBought,
    IsRefundWaiting,
    ListBoughtVersions,
    ListPackageBuyers,
    ListSoldVersions,
    RefuseRefund,
    RequestRefund,
    TellHolders,
    TellRunHolders,
)
from promptforge.actors.marketplace.purchases.notices import Because
from promptforge.actors.marketplace.purchases.store import Purchase, PurchaseStore
from promptforge.actors.marketplace.reviews.ratings import Ratings
from promptforge.actors.marketplace.rulings import domain as rulings
from promptforge.actors.marketplace.rulings.domain import Why
from promptforge.actors.marketplace.sealed.store import AccountStore
from promptforge.actors.marketplace.sealed.terms import find_terms
from promptforge.actors.moderation.messages import CaseKind
from promptforge.actors.packages.messages import PinPackageVersion
from promptforge.actors.partnerships.referrals.messages import FindReferral
from promptforge.actors.prompts.messages import PromptVersionView, ReadPromptVersion
from promptforge.actors.users.messages import ExpectOpenAccounts, IsAccountClosed
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, AccountSuspended, Conflict, NotFound
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

TOLD_AT_ONCE = 200


class PurchasesActor(Actor):
    """`appeal_for`: how long the refusal of a refund can be appealed. `owned` is told who buys and who gives back."""

    name = "purchases"
    asks = ("billing", "prompts", "sales", "packages", "users", "referrals")

    def __init__(
        self,
        purchases: PurchaseStore,
        listings: ListingStore,
        accounts: AccountStore,
        ratings: Ratings,
        *,
        owned: Owned,
        appeal_for: timedelta,
    ) -> None:
        self._appeal_for = appeal_for
        self._owned = owned
        self._purchases = purchases
        self._listings = listings
        self._accounts = accounts
        self._ratings = ratings

    @handles(PurchaseListing, transactional=True)
    async def purchase(self, message: PurchaseListing, context: Context) -> PurchaseView:
        purchase_id = new_id("pur")
        bought = await context.transaction(lambda tx: self._sell(message, purchase_id, tx))
        return bought.view()

    async def _sell(self, message: PurchaseListing, purchase_id: str, tx: Context) -> Purchase:
        listing = await self._listings.find(message.listing_id, session=tx.session)
        if listing is None:
            raise no_listing()
        if listing.seller_id == tx.user_id:
            raise OwnListing
        # Before anything else can be wrong: a second click hears that it is theirs, whatever has changed since.
        owned_by = await self._purchases.entitle(tx.user_id, listing.id, purchase_id, now=tx.now(), session=tx.session)
        if owned_by != purchase_id:
            await self._add_source(message, listing, tx, owned=owned_by, purchase_id=purchase_id)
        _check_offer(listing, message)
        await _check_package(listing, tx)
        await _check_version(listing, tx)
        await self._check_runs(listing, tx)
        await tx.ask(ExpectOpenAccounts(user_ids=(tx.user_id,)))
        await _expect_seller(listing.seller_id, tx)
        charge = await tx.ask(
            ChargePurchase(
                purchase_id=purchase_id,
                buyer_id=tx.user_id,
                seller_id=listing.seller_id,
                price_millicredits=listing.price,
                commission=await _commission_of(listing, tx),
            )
        )
        purchase = _purchase_of(listing, charge, purchase_id, tx)
        await self._purchases.insert(purchase, session=tx.session)
        tx.after_attempt(lambda: self._owned.forget((purchase.buyer_id,)))
        for notice in notices.sold(purchase):
            await tx.enqueue(notice, owner_id=notice.user_id)
        await tx.audit("listing.purchased", purchase_id, after=_facts(purchase))
        return purchase

    async def _check_runs(self, listing: Listing, tx: Context) -> None:
        """Runs are not sold to whom they were stopped for, nor to accounts that are linked to theirs."""
        if listing.licence is not Licence.RUNS:
            return
        group = await tx.ask(GetAccountGroup(user_id=tx.user_id))
        account = await self._accounts.get(listing.prompt_id, group, session=tx.session)
        if account.barred:
            raise RunsBarred.of(listing.id)
        if account.stopped_at is not None:
            raise RunsStopped

    async def _add_source(
        self, message: PurchaseListing, listing: Listing, tx: Context, *, owned: str, purchase_id: str
    ) -> None:
        """Who owns runs may buy the source besides, if they say so: a second click of theirs must not.

        Of two at once one conflicts on the entitlement, starts over and finds the other's. Raises `AlreadyOwned`.
        """
        before, why = await self._purchases.get(owned, session=tx.session), "You bought this already"
        more = before.licence is Licence.RUNS and listing.licence is Licence.SOURCE
        if more and message.expected_licence is None:
            why = "You bought runs of this already; its source is yours for its price, with the expected_licence source"
        if not more or message.expected_licence is not Licence.SOURCE:
            raise AlreadyOwned(why, extra={"purchase_id": owned})
        await self._purchases.entitle_instead(
            tx.user_id, listing.id, before=owned, purchase_id=purchase_id, session=tx.session
        )

    @handles(GetPurchase)
    async def get_purchase(self, message: GetPurchase, context: Context) -> PurchasedContentView:
        bought = await self._purchases.get_own(message.purchase_id, context.user_id)
        if bought.licence is Licence.RUNS or bought.package is not None:
            return _content_view(bought, None)
        purchase = await self._purchases.use(message.purchase_id, context.user_id, now=context.now())
        version = await context.ask(ReadPromptVersion(prompt_id=purchase.prompt_id, version=purchase.version))
        return _content_view(purchase, version)

    @handles(RefundPurchase, key="purchase_id", transactional=True)
    async def refund(self, message: RefundPurchase, context: Context) -> PurchaseView:
        because = notices.given_back(message.reason)
        return await context.transaction(lambda tx: self._refund(message.purchase_id, because, tx))

    @handles(GrantRefund, key="purchase_id", atomic=True)
    async def grant_refund(self, message: GrantRefund, context: Context) -> PurchaseView:
        because = notices.given_back(message.words)
        return await self._refund(message.purchase_id, because, context, grant=message)

    async def _refund(
        self, purchase_id: str, because: Because, tx: Context, *, grant: GrantRefund | None = None
    ) -> PurchaseView:
        await tx.ask(ReverseSale(purchase_id=purchase_id, reason=because.words))
        await self._take_back(purchase_id, because, tx, grant=grant)
        return (await self._purchases.get(purchase_id, session=tx.session)).view()

    @handles(RequestRefund, key="purchase_id", atomic=True)
    async def request_refund(self, message: RequestRefund, context: Context) -> PurchaseView:
        """A use that comes in between conflicts with this transaction, which then sees it."""
        purchase = await self._purchases.get_own(message.purchase_id, context.user_id, session=context.session)
        if purchase.refunded_at is not None:
            raise PurchaseRefunded
        now = context.now()
        request = refunds.asked(purchase.refund, message.words, now)
        asked = await self._purchases.set_refund(purchase.id, request, session=context.session)
        until = purchase.automatic_refund_until
        if until is not None and now < until:
            return await self._refund(purchase.id, notices.WITHIN_POLICY, context)
        case = await refund_case(self._listings, purchase, context, kind=CaseKind.REFUND, words=message.words)
        await context.enqueue(case, unique=f"refund:{purchase.id}")
        return asked.view()

    @handles(AppealRefund, key="purchase_id", atomic=True)
    async def appeal_refund(self, message: AppealRefund, context: Context) -> PurchaseView:
        """Of two at once the second conflicts, starts over and sees the first."""
        purchase = await self._purchases.get_own(message.purchase_id, context.user_id, session=context.session)
        if purchase.refunded_at is not None:
            raise PurchaseRefunded
        request = refunds.appealed(purchase.refund, message.words, context.now())
        appealed = await self._purchases.set_refund(purchase.id, request, session=context.session)
        case = await refund_case(self._listings, purchase, context, kind=CaseKind.REFUND_APPEAL, words=message.words)
        await context.enqueue(case, unique=f"refund_appeal:{purchase.id}")
        return appealed.view()

    @handles(RefuseRefund, key="purchase_id", atomic=True)
    async def refuse_refund(self, message: RefuseRefund, context: Context) -> PurchaseView:
        purchase = await self._purchases.get(message.purchase_id, session=context.session)
        if purchase.refunded_at is not None:
            raise NoRefundRequested
        now, why = context.now(), (message.reason_code, message.public_note)
        request = refunds.refused(purchase.refund, why=why, now=now, appeal_until=now + self._appeal_for)
        refused = await self._purchases.set_refund(purchase.id, request, session=context.session)
        notice = notices.refused(refused, message, appeal_until=request["appeal_until"])
        await context.enqueue(notice, owner_id=refused.buyer_id)
        return refused.view()

    @handles(RevokePurchase, atomic=True)
    async def revoke(self, message: RevokePurchase, context: Context) -> None:
        await self._take_back(message.purchase_id, notices.PAYMENT_DISPUTED, context)

    async def _take_back(
        self, purchase_id: str, because: Because, tx: Context, *, grant: GrantRefund | None = None
    ) -> None:
        refunded = await self._purchases.take_from_buyer(purchase_id, now=tx.now(), session=tx.session)
        if refunded is None:
            return
        buyer_id = refunded.buyer_id
        tx.after_attempt(lambda: self._owned.forget((buyer_id,)))
        await self._ratings.purchase_is_gone(purchase_id, tx)
        if grant is not None:
            refunded = await self._keep_grant(refunded, grant, tx)
        for notice in notices.refunded(refunded, because, grant):
            await tx.enqueue(notice, owner_id=notice.user_id)
        await tx.audit("purchase.refunded", purchase_id, after=_facts(refunded))

    async def _keep_grant(self, refunded: Purchase, grant: GrantRefund, tx: Context) -> Purchase:
        """Why a moderator has decided so, for the buyer who asked for it, and against the seller who lost something."""
        if refunded.refund is not None:
            request = refunds.granted(refunded.refund, reason_code=grant.reason_code, note=grant.public_note)
            refunded = await self._purchases.set_refund(refunded.id, request, session=tx.session)
        if not refunded.seller_share:
            return refunded
        why = Why(grant.case_id, grant.reason_code, grant.public_note)
        ruling = rulings.made(why, tx.now(), appeal_until=tx.now() + self._appeal_for)
        return await self._purchases.set_ruling(refunded.id, ruling, session=tx.session)

    @handles(UsePurchasedSource, transactional=True)
    async def use_source(self, message: UsePurchasedSource, context: Context) -> PurchasedSource | None:
        session = context.session
        found = await self._purchases.find_source(message.buyer_id, message.prompt_id, message.version, session=session)
        if found is not None:
            await self._purchases.mark_used(found.purchase_id, now=context.now(), session=session)
        return found

    @handles(GiveBackUse, atomic=True)
    async def give_back_use(self, message: GiveBackUse, context: Context) -> None:
        await self._purchases.give_back_run(message.purchase_id, session=context.session)

    @handles(FindPurchasedSource, transactional=True)
    async def find_source(self, message: FindPurchasedSource, context: Context) -> PurchasedSource | None:
        return await self._purchases.find_source(
            message.buyer_id, message.prompt_id, message.version, session=context.session
        )

    @handles(ListPackageBuyers)
    async def list_package_buyers(self, message: ListPackageBuyers, context: Context) -> tuple[tuple[str, str], ...]:
        found = await self._purchases.list_buyers(
            message.package_id, message.number, after=message.after, limit=message.limit
        )
        return tuple(found)

    @handles(TellHolders, key="listing_id", atomic=True)
    async def tell_holders(self, message: TellHolders, context: Context) -> int:
        """One snapshot: who gives it back at this moment has either heard of it before, or does not."""
        listing = await self._listings.find(message.listing_id, session=context.session)
        if listing is None or (listing.state, listing.version) != (ListingState.PUBLISHED, message.version):
            return 0
        holders = await self._purchases.list_holders(
            listing.id, before=listing.version, after=message.after, limit=TOLD_AT_ONCE, session=context.session
        )
        have = await self._purchases.list_who_have(
            listing.id, listing.version, [one.buyer_id for one in holders], session=context.session
        )
        told = [notices.newer_version(one, listing) for one in holders if one.buyer_id not in have]
        await context.enqueue_many(told)
        if len(holders) == TOLD_AT_ONCE:
            await context.enqueue(replace(message, after=holders[-1].id))
        return len(told)

    @handles(TellRunHolders, key="listing_id", atomic=True)
    async def tell_run_holders(self, message: TellRunHolders, context: Context) -> int:
        holders = await self._purchases.list_run_holders(
            message.listing_id, after=message.after, limit=TOLD_AT_ONCE, session=context.session
        )
        await context.enqueue_many([notices.runs_judged(one, message) for one in holders])
        if len(holders) == TOLD_AT_ONCE:
            await context.enqueue(replace(message, after=holders[-1].id))
        return len(holders)

    @handles(HasBought, transactional=True)
    async def has_bought(self, message: HasBought, context: Context) -> bool:
        return await self._purchases.has_bought(message.user_ids, message.listing_id, session=context.session)

    @handles(IsRefundWaiting, transactional=True)
    async def is_refund_waiting(self, message: IsRefundWaiting, context: Context) -> bool:
        purchase = await self._purchases.get(message.purchase_id, session=context.session)
        if purchase.refunded_at is not None or not refunds.waits(purchase.refund):
            return False
        return not await context.ask(IsAccountClosed(user_id=purchase.buyer_id))

    @handles(ListSoldVersions)
    async def list_sold_versions(self, message: ListSoldVersions, context: Context) -> tuple[tuple[str, int], ...]:
        return tuple(await self._purchases.list_sold_versions(message.seller_id))

    @handles(ListBoughtVersions)
    async def list_bought_versions(self, message: ListBoughtVersions, context: Context) -> tuple[tuple[str, int], ...]:
        return tuple(await self._purchases.list_bought_versions(message.prompt_ids))

    @handles(ListPurchases)
    async def list_purchases(self, message: ListPurchases, context: Context) -> Page[PurchaseView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._purchases.list_bought(context.user_id, cursor=cursor, limit=message.limit)
        current = await self._listings.current_versions([purchase.listing_id for purchase in page.items])

        def newer(purchase: Purchase) -> int | None:
            version = current.get(purchase.listing_id, 0)
            return version if version > purchase.version else None

        return Page(tuple(one.view(newer_version=newer(one)) for one in page.items), page.next)

    @handles(ListSales)
    async def list_sales(self, message: ListSales, context: Context) -> Page[SaleView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._purchases.list_sold(context.user_id, cursor=cursor, limit=message.limit)


def _content_view(purchase: Purchase, version: PromptVersionView | None) -> PurchasedContentView:
    if version is None and purchase.refunded_at is not None:
        raise PurchaseRefunded
    return PurchasedContentView(
        id=purchase.id,
        listing_id=purchase.listing_id,
        title=purchase.title,
        prompt_id=purchase.prompt_id,
        version=purchase.version,
        licence=purchase.licence,
        price=from_millicredits(purchase.price),
        used_at=purchase.used_at,
        created_at=purchase.created_at,
        kind=None if version is None else version.kind,
        content=None if version is None else version.content,
        settings=None if version is None else version.settings,
        runs=find_terms(purchase.runs),
        package=find_offer(purchase.package),
    )


async def _expect_seller(seller_id: str, tx: Context) -> None:
    """Nothing of a seller's is for sale whose account is closed, off the market or not, or suspended."""
    try:
        await tx.ask(ExpectOpenAccounts(user_ids=(seller_id,)))
    except (AccountClosed, AccountSuspended):
        raise NotForSale from None


def _check_offer(listing: Listing, message: PurchaseListing) -> None:
    """That the listing is for sale on the terms that were seen; each reason why not is a problem of its own."""
    if listing.state in {ListingState.UNLISTED, ListingState.SUSPENDED}:
        raise NotForSale
    if listing.state is not ListingState.PUBLISHED:
        raise no_listing()
    if message.expected_revision not in {None, listing.revision}:
        raise StaleRevision(f"The listing is at revision {listing.revision}", extra={"revision": listing.revision})
    if message.expected_licence not in {None, listing.licence}:
        raise LicenceChanged(f"The licence is {listing.licence}", extra={"licence": listing.licence.value})
    if listing.price != to_millicredits(message.expected_price):
        price = from_millicredits(listing.price)
        raise PriceChanged(f"The price is {price} credits", extra={"price": price})


async def _check_package(listing: Listing, tx: Context) -> None:
    """That what it sells was neither yanked nor revoked, in the sale's own snapshot."""
    offer = find_offer(listing.package)
    if offer is not None:
        await tx.ask(
            PinPackageVersion(package_id=offer.package_id, version=offer.version, publisher_id=listing.seller_id)
        )


async def _check_version(listing: Listing, tx: Context) -> None:
    """That what the buyer is about to pay for can be read, with all that it includes, in the sale's own snapshot."""
    if listing.package is not None:
        return
    try:
        await tx.ask(ReadPromptVersion(prompt_id=listing.prompt_id, version=listing.version))
    except (NotFound, Conflict):  # it is not there, or something that it includes is not
        raise NotForSale from None


async def _commission_of(listing: Listing, tx: Context) -> SaleCommission | None:
    """Asked in the sale's own transaction: whoever is suspended earns nothing of a sale that begins after that."""
    if not listing.price:
        return None
    found = await tx.ask(FindReferral(buyer_id=tx.user_id, seller_id=listing.seller_id))
    if found is None:
        return None
    return SaleCommission(found.partner_id, found.basis_points, found.referrer_id, found.code)


def _purchase_of(listing: Listing, charge: Charge, purchase_id: str, tx: Context) -> Purchase:
    return Purchase(
        id=purchase_id,
        listing_id=listing.id,
        seller_id=listing.seller_id,
        buyer_id=tx.user_id,
        title=listing.title,
        prompt_id=listing.prompt_id,
        version=listing.version,
        content_hash=listing.content_hash,
        licence=listing.licence,
        price=listing.price,
        seller_share=charge.seller_millicredits,
        fee=charge.fee_millicredits,
        journal_id=charge.journal_id,
        refund_policy=REFUND_POLICY,
        payable=charge.payable_millicredits,
        used_at=None,
        created_at=tx.now(),
        runs=listing.runs if listing.licence is Licence.RUNS else None,
        package=listing.package,
    )


def _facts(purchase: Purchase) -> dict[str, str]:
    """For the audit log."""
    return {
        "listing_id": purchase.listing_id,
        "seller_id": purchase.seller_id,
        "price": from_millicredits(purchase.price),
        "fee": from_millicredits(purchase.fee),
        "journal_id": purchase.journal_id or "",
    }
