"""What search asks of the marketplace: documents of published listings, and of what buyers have.

Nothing of what they sell is in any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.messages import Query, internal


@internal
class ReadListingDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents of those of these listings that are published."""

    ids: tuple[str, ...]


@internal
class ScanListingDocuments(Query[DocumentPage]):
    """The documents of published listings, in the order of their ids, behind `after`."""

    after: str | None
    limit: int


@internal
class ListListingsOfSellers(Query[tuple[str, ...]]):
    """The ids of these sellers' published listings."""

    seller_ids: tuple[str, ...]


@internal
class ReadBoughtDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents, for their buyers, of those of these listings that somebody has bought."""

    ids: tuple[str, ...]


@internal
class ScanBoughtDocuments(Query[DocumentPage]):
    """The documents of listings that somebody has bought, in the order of their ids, behind `after`."""

    after: str | None
    limit: int


@internal
class ListListingsFirstBought(Query[tuple[str, ...]]):
    """The ids of the listings of which one of these purchases is the first."""

    purchase_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bought:
    """`audience`: of the document that everybody finds who has bought the same."""

    listing_id: str
    purchase_id: str
    audience: str


@internal
class ListBought(Query[tuple[Bought, ...]]):
    """What somebody owns, the newest first, at most `limit`: as this process knows it, which hears of others' sales and
    refunds a moment later.
    """

    user_id: str
    limit: int
