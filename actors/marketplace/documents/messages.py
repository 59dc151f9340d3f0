"""What search asks of the marketplace: documents of published listings, without anything of what they sell."""

from __future__ import annotations

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
