"""Reads listings for search: only those that are published, and only what everybody may see of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.listings.browsing import PUBLISHED
from promptforge.actors.marketplace.listings.evidence import evidence_view
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import EvidenceState
from promptforge.actors.search.messages import PUBLIC, Kind, Offer, SearchDocument
from promptforge.core.mongo import Document, Mongo

MOST_OF_SELLERS = 100_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A document that lacks its seller's handle, and who that is."""

    seller_id: str
    document: SearchDocument


class ListingDocumentStore:
    def __init__(self, mongo: Mongo) -> None:
        self._listings = mongo.collection(LISTINGS)

    async def read(self, ids: Sequence[str]) -> list[Listed]:
        rows = self._listings.find({"_id": {"$in": list(ids)}, **PUBLISHED})
        return [_listed(row) for row in await rows.to_list(len(ids))]

    async def scan(self, after: str | None, limit: int) -> list[Listed]:
        behind: Document = {} if after is None else {"_id": {"$gt": after}}
        rows = self._listings.find({**behind, **PUBLISHED}).sort([("_id", 1)]).hint("_id_").limit(limit)
        return [_listed(row) for row in await rows.to_list(limit)]

    async def ids_of(self, seller_ids: Sequence[str]) -> tuple[str, ...]:
        rows = self._listings.find({"seller_id": {"$in": list(seller_ids)}, **PUBLISHED}, {"_id": 1})
        return tuple([row["_id"] for row in await rows.to_list(MOST_OF_SELLERS)])


def _listed(row: Document) -> Listed:
    rating, ranks = row.get("rating") or {}, row.get("ranks") or {}
    reviews = rating.get("count", 0)
    published_at: datetime = row["published_at"] or row["updated_at"]
    offer = Offer(
        category=row["category"],
        licence=row["licence"],
        sells="prompt" if row.get("package") is None else "package",
        price=row["price"],
        stars=round(rating["stars"] * 1000 / reviews) if reviews else 0,
        scorecard=_has_scorecard(row),
        published_at=published_at,
        trending=ranks.get("trending", 0),
        sales=ranks.get("sales", 0),
        rated=ranks.get("rated", 0),
    )
    document = SearchDocument(
        kind=Kind.LISTING,
        id=row["_id"],
        audience=PUBLIC,
        title=row["title"],
        changed_at=row["updated_at"],
        summary=row["summary"],
        body=row["description"],
        tags=tuple(row["tags"]),
        offer=offer,
    )
    return Listed(row["seller_id"], document)


def _has_scorecard(row: Document) -> bool:
    view = evidence_view(row.get("evidence"), version=row["version"], content_hash=row["content_hash"])
    return view is not None and view.state is EvidenceState.CURRENT
