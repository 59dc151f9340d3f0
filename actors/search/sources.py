"""Where documents come from: each feature that has something to be found is a line here.

A feature hands over its documents by two internal queries in its `messages`: `read` answers those of the ids that there
are to be found by anybody, `scan` goes through all of them in the order of their ids. `collection` is whose changes it
follows. To add a kind: its name in `Kind`, the two queries, their handlers, a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptforge.actors.marketplace.documents.messages import (
    ListListingsFirstBought,
    ListListingsOfSellers,
    ReadBoughtDocuments,
    ReadListingDocuments,
    ScanBoughtDocuments,
    ScanListingDocuments,
)
from promptforge.actors.packages.documents.messages import (
    ListPackagesOfVersions,
    ReadPackageDocuments,
    ScanPackageDocuments,
)
from promptforge.actors.projects.messages import ReadProjectDocuments, ScanProjectDocuments
from promptforge.actors.prompts.messages import ReadPromptDocuments, ScanPromptDocuments
from promptforge.actors.search.messages import DocumentPage, Kind, SearchDocument
from promptforge.actors.users.messages import ReadPersonDocuments, ScanPersonDocuments
from promptforge.core.messages import Query

Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Related:
    """Another collection that documents show something of: what is new there, or a change of these `fields`, concerns
    those that `find` names for its ids.
    """

    collection: str
    fields: frozenset[str]
    find: Callable[[Ids], Query[Ids]]


@dataclass(frozen=True, slots=True)
class Source:
    """`fields`: of an update, those that show in documents; None: any may. An update of nothing but `may_wait` changes
    an order, and who may see what it never does: it is taken in after everything else.
    """

    kind: Kind
    collection: str
    read: Callable[[Ids], Query[tuple[SearchDocument, ...]]]
    scan: Callable[[str | None, int], Query[DocumentPage]]
    fields: frozenset[str] | None = None
    may_wait: frozenset[str] = frozenset()
    related: Related | None = None


SOURCES: tuple[Source, ...] = (
    Source(
        Kind.LISTING,
        "marketplace_listings",
        read=lambda ids: ReadListingDocuments(ids=ids),
        scan=lambda after, limit: ScanListingDocuments(after=after, limit=limit),
        may_wait=frozenset({"ranks"}),
        related=Related("users", frozenset({"handle"}), lambda ids: ListListingsOfSellers(seller_ids=ids)),
    ),
    Source(
        Kind.PERSON,
        "users",
        read=lambda ids: ReadPersonDocuments(ids=ids),
        scan=lambda after, limit: ScanPersonDocuments(after=after, limit=limit),
        fields=frozenset({"handle", "display_name", "bio", "suspended", "closed_at"}),
    ),
    Source(
        Kind.PROJECT,
        "projects",
        read=lambda ids: ReadProjectDocuments(ids=ids),
        scan=lambda after, limit: ScanProjectDocuments(after=after, limit=limit),
        fields=frozenset({"name", "description", "archived"}),
    ),
    Source(
        Kind.PROMPT,
        "prompts",
        read=lambda ids: ReadPromptDocuments(ids=ids),
        scan=lambda after, limit: ScanPromptDocuments(after=after, limit=limit),
        fields=frozenset({"name", "description", "tags", "folder", "archived", "project_id"}),
    ),
    Source(
        Kind.PACKAGE,
        "packages",
        read=lambda ids: ReadPackageDocuments(ids=ids),
        scan=lambda after, limit: ScanPackageDocuments(after=after, limit=limit),
        related=Related(
            "package_versions",
            frozenset({"description", "readme", "yanked", "revoked"}),
            lambda ids: ListPackagesOfVersions(version_ids=ids),
        ),
    ),
    Source(
        Kind.PURCHASE,
        "marketplace_listings",
        read=lambda ids: ReadBoughtDocuments(ids=ids),
        scan=lambda after, limit: ScanBoughtDocuments(after=after, limit=limit),
        fields=frozenset({"title", "summary", "description", "tags", "state"}),
        related=Related("purchases", frozenset(), lambda ids: ListListingsFirstBought(purchase_ids=ids)),
    ),
)
