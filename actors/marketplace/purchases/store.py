"""Every query on the collections `purchases` and `entitlements`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.errors import PurchaseRefunded
from promptforge.actors.marketplace.messages import (
    Licence,
    PurchasedSource,
    PurchaseView,
    SaleView,
)
from promptforge.actors.marketplace.packaged import find_offer
from promptforge.actors.marketplace.purchases.domain import automatic_until, counts
from promptforge.actors.marketplace.purchases.refunds import refund_view
from promptforge.actors.marketplace.rulings.domain import Ruling, ruling_view
from promptforge.actors.marketplace.sealed.terms import find_terms
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Rows, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Erased, Held, Subject, kept, marks

PURCHASES = "purchases"
ENTITLEMENTS = "entitlements"

_BY_LISTING = Index((("listing_id", 1), ("_id", 1)))
INDEXES: dict[str, tuple[Index, ...]] = {
    PURCHASES: (
        _BY_LISTING,
        Index((("buyer_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("seller_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("listing_id", 1), ("created_at", -1))),
        Index((("buyer_id", 1), ("listing_id", 1))),
        Index((("prompt_id", 1), ("version", 1))),
        Index((("package.package_id", 1), ("version", 1)), partial={"package.package_id": {"$exists": True}}),
    ),
    ENTITLEMENTS: (Index((("buyer_id", 1), ("listing_id", 1)), unique=True),),
}
RECORD = kept("what was sold, on the record of the sale", years=10, since="created_at", then=Erased.REDACTED)
PACKAGE = kept("which package its buyer has: it is theirs to use")
HELD = {
    PURCHASES: Held(
        "What you bought and sold",
        (
            Subject(
                "buyer_id",
                {"title": RECORD, "package": PACKAGE, **marks(CLEARED, "refund")},
                hides={"content_hash": {"licence": Licence.RUNS.value}},  # it would confirm a guess at the text
            ),
            Subject("seller_id", {"title": RECORD, "package": PACKAGE, **marks(CLEARED, "ruling")}),
        ),
        plain=frozenset({"runs.*", "prompt_id", "content_hash", "licence", "journal_id", "refund_policy"}),
    ),
    ENTITLEMENTS: Held("What is yours to use", (Subject("buyer_id"),), plain=frozenset({"_id"})),
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """The terms of a sale as they were. Amounts in millicredits; `seller_share` and `fee` add up to the price."""

    id: str
    listing_id: str
    seller_id: str
    buyer_id: str
    title: str
    prompt_id: str
    version: int
    content_hash: str
    licence: Licence
    price: int
    seller_share: int
    fee: int
    journal_id: str
    refund_policy: str
    used_at: datetime | None
    created_at: datetime
    refunded_at: datetime | None = None
    payable: int = 0
    """What of the seller's share can be paid out."""
    refund: Document | None = None
    """What the buyer asked for, and what became of it (`refunds`)."""
    runs: Document | None = None
    """How it is run, where runs are what was bought."""
    package: Document | None = None
    """Which package, where that is what was bought."""
    ruling: Ruling | None = None
    """Why a moderator granted a refund of it, against its seller."""
    linked: bool = False
    """Buyer and seller turned out to belong together later."""

    @property
    def counts(self) -> bool:
        """Whether it counts for its listing, while it stands."""
        return not self.linked and counts(price=self.price, seller_share=self.seller_share, payable=self.payable)

    @property
    def automatic_refund_until(self) -> datetime | None:
        gone = self.used_at is not None or self.refunded_at is not None
        return automatic_until(self.refund_policy, self.created_at, used=gone)

    def view(self, *, newer_version: int | None = None) -> PurchaseView:
        return PurchaseView(
            id=self.id,
            listing_id=self.listing_id,
            seller_id=self.seller_id,
            buyer_id=self.buyer_id,
            title=self.title,
            prompt_id=self.prompt_id,
            version=self.version,
            content_hash=None if self.licence is Licence.RUNS else self.content_hash,
            licence=self.licence,
            price=from_millicredits(self.price),
            refund_policy=self.refund_policy,
            used_at=self.used_at,
            refunded_at=self.refunded_at,
            created_at=self.created_at,
            automatic_refund_until=self.automatic_refund_until,
            refund=refund_view(self.refund, self.refunded_at),
            newer_version=newer_version,
            runs=find_terms(self.runs),
            package=find_offer(self.package),
        )


def buyer_of(entitlement_id: str) -> str:
    return entitlement_id.partition(":")[0]


class PurchaseStore:
    def __init__(self, mongo: Mongo) -> None:
        self._purchases = mongo.collection(PURCHASES)
        self._entitlements = mongo.collection(ENTITLEMENTS)

    async def entitle(
        self, buyer_id: str, listing_id: str, purchase_id: str, *, now: datetime, session: Session | None
    ) -> str:
        """Give the buyer the listing; answers the purchase that entitles them, which is an older one if they own it.

        An upsert on the key: a duplicate key would abort the transaction. Two at once conflict, and the second, run
        again, finds the first.
        """
        row = await self._entitlements.find_one_and_upsert(
            {"_id": f"{buyer_id}:{listing_id}"},
            {
                "$setOnInsert": {
                    "buyer_id": buyer_id,
                    "listing_id": listing_id,
                    "purchase_id": purchase_id,
                    "created_at": now,
                }
            },
            session=session,
        )
        owned: str = row["purchase_id"]
        return owned

    async def entitle_instead(
        self, buyer_id: str, listing_id: str, *, before: str, purchase_id: str, session: Session | None
    ) -> None:
        """The listing is theirs by another purchase from now on, which the transaction has found to be `before`."""
        entitled = {"_id": f"{buyer_id}:{listing_id}", "purchase_id": before}
        await self._entitlements.update_one(entitled, {"$set": {"purchase_id": purchase_id}}, session=session)

    async def insert(self, purchase: Purchase, *, session: Session | None) -> None:
        await self._purchases.insert_one(
            {
                "_id": purchase.id,
                "listing_id": purchase.listing_id,
                "seller_id": purchase.seller_id,
                "buyer_id": purchase.buyer_id,
                "title": purchase.title,
                "prompt_id": purchase.prompt_id,
                "version": purchase.version,
                "content_hash": purchase.content_hash,
                "licence": purchase.licence.value,
                "price": purchase.price,
                "seller_share": purchase.seller_share,
                "fee": purchase.fee,
                "payable": purchase.payable,
                "journal_id": purchase.journal_id,
                "refund_policy": purchase.refund_policy,
                "used_at": None,
                "refunded_at": None,
                "refund": None,
                "runs": purchase.runs,
                "package": purchase.package,
                "created_at": purchase.created_at,
            },
            session=session,
        )

    async def use(self, purchase_id: str, buyer_id: str, *, now: datetime) -> Purchase:
        """Mark the purchase as used, once, before anything of it leaves. Raises `NotFound` or `PurchaseRefunded`."""
        mine = {"_id": purchase_id, "buyer_id": buyer_id}
        unused = {**mine, "used_at": None, "refunded_at": None}
        await self._purchases.update_one(unused, {"$set": {"used_at": now}})
        row = await self._purchases.find_one(mine)
        if row is None:
            raise no_purchase()
        if row.get("refunded_at") is not None:
            raise PurchaseRefunded
        return _purchase_from(row)

    async def find_source(
        self, buyer_id: str, prompt_id: str, version: int | None, *, session: Session | None
    ) -> PurchasedSource | None:
        """The newest purchase of this prompt's source; None where there is none."""
        wanted: Document = {"buyer_id": buyer_id, "prompt_id": prompt_id, "licence": Licence.SOURCE.value}
        wanted["refunded_at"] = None
        if version is not None:
            wanted["version"] = version
        row = await self._purchases.find_one(wanted, sort=[("created_at", -1)], session=session)
        return None if row is None else PurchasedSource(row["_id"], row["version"])

    async def find_runs(self, buyer_id: str, listing_id: str, *, session: Session | None) -> Purchase | None:
        """The purchase by which somebody may have a listing run, whatever it offers by now."""
        wanted = {"buyer_id": buyer_id, "listing_id": listing_id, "licence": Licence.RUNS.value, "refunded_at": None}
        row = await self._purchases.find_one(wanted, sort=[("created_at", -1)], session=session)
        return None if row is None else _purchase_from(row)

    async def list_runs(self, prompt_id: str, buyers: Sequence[str], *, session: Session | None) -> list[Purchase]:
        """The standing purchases by which these people may have a prompt run, by whatever listing."""
        wanted: Document = {"buyer_id": {"$in": list(buyers)}, "prompt_id": prompt_id, "licence": Licence.RUNS.value}
        rows = self._purchases.find({**wanted, "refunded_at": None}, session=session).sort([("_id", 1)])
        return [_purchase_from(row) for row in await rows.to_list(None)]  # of linked accounts

    async def list_between(self, people: Sequence[str]) -> list[str]:
        """The ids of what these have bought of each other, and is not marked so."""
        among = {"$in": list(people)}
        rows = self._purchases.find({"buyer_id": among, "seller_id": among, "linked": {"$ne": True}}, {"_id": 1})
        return [row["_id"] for row in await rows.to_list(None)]  # of linked accounts

    async def mark_linked(self, purchase_id: str, *, session: Session | None) -> None:
        await self._purchases.update_one({"_id": purchase_id}, {"$set": {"linked": True}}, session=session)

    async def mark_used(self, purchase_id: str, *, now: datetime, session: Session | None) -> None:
        """Once. A refund at the same moment writes the same document, and one of the two sees the other."""
        unused = {"_id": purchase_id, "used_at": None}
        await self._purchases.update_one(unused, {"$set": {"used_at": now}}, session=session)

    async def begin_run(self, purchase_id: str, *, now: datetime, session: Session | None) -> None:
        """Used from here on. `runs_counted`: its runs that go on or have answered, where the first of them used it."""
        first = {"$eq": ["$used_at", None]}
        counted = {"$cond": [{"$isNumber": "$runs_counted"}, {"$add": ["$runs_counted", 1]}, "$$REMOVE"]}
        changes = {"used_at": {"$ifNull": ["$used_at", now]}, "runs_counted": {"$cond": [first, 1, counted]}}
        await self._purchases.update_one({"_id": purchase_id}, [{"$set": changes}], session=session)

    async def give_back_run(self, purchase_id: str, *, session: Session | None) -> None:
        """A run that `begin_run` counted has not answered: where none other goes on or has, it is unused again."""
        counted = {"_id": purchase_id, "runs_counted": {"$gte": 1}}
        last = {"$lte": ["$runs_counted", 1]}
        changes = {
            "used_at": {"$cond": [last, None, "$used_at"]},
            "runs_counted": {"$cond": [last, "$$REMOVE", {"$subtract": ["$runs_counted", 1]}]},
        }
        await self._purchases.update_one(counted, [{"$set": changes}], session=session)

    async def list_buyers(self, package_id: str, number: int, *, after: str, limit: int) -> list[tuple[str, str]]:
        """Purchase and buyer of those who have this version of a package, behind a purchase."""
        wanted = {"package.package_id": package_id, "version": number, "refunded_at": None, "_id": {"$gt": after}}
        rows = self._purchases.find(wanted, {"buyer_id": 1}).sort([("_id", 1)]).limit(limit)
        return [(row["_id"], row["buyer_id"]) for row in await rows.to_list(limit)]

    async def take_from_buyer(self, purchase_id: str, *, now: datetime, session: Session | None) -> Purchase | None:
        """Mark the purchase as refunded, once: its buyer owns the listing no more, and may buy it again.

        Of a source that followed runs, what is left to them are the runs. None where it was refunded before. Raises
        `NotFound`.
        """
        live = {"_id": purchase_id, "refunded_at": None}
        row = await self._purchases.find_one_and_update(live, {"$set": {"refunded_at": now}}, session=session)
        if row is None:
            await self.get(purchase_id, session=session)
            return None
        buyer_id, listing_id = row["buyer_id"], row["listing_id"]
        left = await self._fall_back_on_runs(buyer_id, listing_id, now, session)
        if left is None:
            entitled = {"_id": f"{buyer_id}:{listing_id}", "purchase_id": purchase_id}
            await self._entitlements.delete_one(entitled, session=session)
        else:
            await self.entitle_instead(buyer_id, listing_id, before=purchase_id, purchase_id=left, session=session)
        return _purchase_from(row)

    async def _fall_back_on_runs(
        self, buyer_id: str, listing_id: str, now: datetime, session: Session | None
    ) -> str | None:
        """The other purchase of theirs that stands. It is written, so that its own refund at this moment conflicts."""
        wanted = {"buyer_id": buyer_id, "listing_id": listing_id, "licence": Licence.RUNS.value, "refunded_at": None}
        written = {"$set": {"entitled_at": now}}
        row = await self._purchases.find_one_and_update(wanted, written, session=session)
        return None if row is None else row["_id"]

    async def list_holders(
        self, listing_id: str, *, before: int, after: str, limit: int, session: Session | None
    ) -> list[Purchase]:
        """Standing purchases of versions earlier than `before`, in the order of their ids, behind `after`."""
        wanted = {"listing_id": listing_id, "refunded_at": None, "version": {"$lt": before}, "_id": {"$gt": after}}
        rows = self._purchases.find(wanted, session=session).sort([("_id", 1)]).hint(_BY_LISTING.name).limit(limit)
        return [_purchase_from(row) for row in await rows.to_list(limit)]

    async def list_run_holders(
        self, listing_id: str, *, after: str, limit: int, session: Session | None
    ) -> list[Purchase]:
        """Standing purchases of runs, in the order of their ids, behind `after`."""
        runs = Licence.RUNS.value
        wanted = {"listing_id": listing_id, "refunded_at": None, "licence": runs, "_id": {"$gt": after}}
        rows = self._purchases.find(wanted, session=session).sort([("_id", 1)]).hint(_BY_LISTING.name).limit(limit)
        return [_purchase_from(row) for row in await rows.to_list(limit)]

    async def list_who_have(
        self, listing_id: str, version: int, buyers: Sequence[str], *, session: Session | None
    ) -> set[str]:
        """Those of the buyers who have this version, or a later one, by a purchase that stands."""
        wanted = {
            "buyer_id": {"$in": list(buyers)},
            "listing_id": listing_id,
            "refunded_at": None,
            "version": {"$gte": version},
        }
        rows = self._purchases.find(wanted, {"buyer_id": 1}, session=session)
        return {row["buyer_id"] for row in await rows.to_list(None)}  # of one page of buyers

    async def has_bought(self, user_ids: Sequence[str], listing_id: str, *, session: Session | None) -> bool:
        wanted = {"buyer_id": {"$in": list(user_ids)}, "listing_id": listing_id}
        return await self._purchases.find_one(wanted, {"_id": 1}, session=session) is not None

    async def list_sold_versions(self, seller_id: str) -> list[tuple[str, int]]:
        return await self._versions_of({"seller_id": seller_id})

    async def list_bought_versions(self, prompt_ids: Sequence[str]) -> list[tuple[str, int]]:
        return await self._versions_of({"prompt_id": {"$in": list(prompt_ids)}})

    async def _versions_of(self, wanted: Document) -> list[tuple[str, int]]:
        each = {"_id": {"prompt_id": "$prompt_id", "version": "$version"}}
        rows = self._purchases.aggregate([{"$match": wanted}, {"$group": each}])
        return [(row["_id"]["prompt_id"], row["_id"]["version"]) for row in await rows.to_list(None)]  # one person's

    async def get(self, purchase_id: str, *, session: Session | None) -> Purchase:
        """Raises `NotFound`."""
        row = await self._purchases.find_one({"_id": purchase_id}, session=session)
        if row is None:
            raise NotFound("There is no such purchase")
        return _purchase_from(row)

    async def get_own(self, purchase_id: str, buyer_id: str, *, session: Session | None = None) -> Purchase:
        """Raises `NotFound`, also for somebody else's."""
        row = await self._purchases.find_one({"_id": purchase_id, "buyer_id": buyer_id}, session=session)
        if row is None:
            raise no_purchase()
        return _purchase_from(row)

    async def mark_reviewed(
        self, purchase_id: str, buyer_id: str, *, now: datetime, session: Session | None
    ) -> Purchase:
        """Raises `NotFound`, also for somebody else's, or `PurchaseRefunded`."""
        mine = {"_id": purchase_id, "buyer_id": buyer_id}
        row = await self._purchases.find_one_and_update(
            {**mine, "refunded_at": None}, {"$set": {"reviewed_at": now}}, session=session
        )
        if row is None:
            await self.get_own(purchase_id, buyer_id, session=session)
            raise PurchaseRefunded
        return _purchase_from(row)

    async def touch(self, purchase_id: str, *, now: datetime, session: Session | None) -> Purchase:
        """Written, so that whoever changes it at this moment conflicts. Raises `NotFound`."""
        changes = {"$set": {"reviewed_at": now}}
        row = await self._purchases.find_one_and_update({"_id": purchase_id}, changes, session=session)
        if row is None:
            raise no_purchase()
        return _purchase_from(row)

    async def set_refund(self, purchase_id: str, refund: Document, *, session: Session | None) -> Purchase:
        """Keep what was asked and decided about a refund. Raises `NotFound`."""
        changes = {"$set": {"refund": refund}}
        row = await self._purchases.find_one_and_update({"_id": purchase_id}, changes, session=session)
        if row is None:
            raise no_purchase()
        return _purchase_from(row)

    async def get_sold(self, purchase_id: str, seller_id: str, *, session: Session | None) -> Purchase:
        """Raises `NotFound`, also for somebody else's sale."""
        row = await self._purchases.find_one({"_id": purchase_id, "seller_id": seller_id}, session=session)
        if row is None:
            raise NotFound("There is no such sale, or it is not yours")
        return _purchase_from(row)

    async def set_ruling(self, purchase_id: str, ruling: Ruling, *, session: Session | None) -> Purchase:
        """Keep what was decided against the seller. Raises `NotFound`."""
        changes = {"$set": {"ruling": ruling}}
        row = await self._purchases.find_one_and_update({"_id": purchase_id}, changes, session=session)
        if row is None:
            raise no_purchase()
        return _purchase_from(row)

    async def list_bought(self, buyer_id: str, *, cursor: Cursor | None, limit: int) -> Page[Purchase]:
        rows = self._page({"buyer_id": buyer_id}, cursor)
        return page_of(await rows.limit(limit + 1).to_list(limit + 1), limit, _purchase_from)

    async def list_sold(self, seller_id: str, *, cursor: Cursor | None, limit: int) -> Page[SaleView]:
        rows = self._page({"seller_id": seller_id}, cursor)
        return page_of(
            await rows.limit(limit + 1).to_list(limit + 1), limit, lambda row: sale_view(_purchase_from(row))
        )

    def _page(self, wanted: Document, cursor: Cursor | None) -> Rows:
        return self._purchases.find({**wanted, **(cursor.after() if cursor else {})}).sort(
            [("created_at", -1), ("_id", -1)]
        )


def no_purchase() -> NotFound:
    return NotFound("There is no such purchase, or it is not yours")


def _purchase_from(row: Document) -> Purchase:
    return Purchase(
        id=row["_id"],
        listing_id=row["listing_id"],
        seller_id=row["seller_id"],
        buyer_id=row["buyer_id"],
        title=row["title"],
        prompt_id=row["prompt_id"],
        version=row["version"],
        content_hash=row["content_hash"],
        licence=Licence(row["licence"]),
        price=row["price"],
        seller_share=row["seller_share"],
        fee=row["fee"],
        journal_id=row["journal_id"],
        refund_policy=row["refund_policy"],
        used_at=row["used_at"],
        created_at=row["created_at"],
        refunded_at=row.get("refunded_at"),
        payable=row.get("payable", 0),
        refund=row.get("refund"),
        runs=row.get("runs"),
        package=row.get("package"),
        ruling=row.get("ruling"),
        linked=row.get("linked", False),
    )


def sale_view(purchase: Purchase) -> SaleView:
    """As its seller sees it."""
    return SaleView(
        id=purchase.id,
        listing_id=purchase.listing_id,
        title=purchase.title,
        price=from_millicredits(purchase.price),
        net=from_millicredits(purchase.seller_share),
        created_at=purchase.created_at,
        fee=from_millicredits(purchase.fee),
        refunded_at=purchase.refunded_at,
        ruling=ruling_view(purchase.ruling),
    )
