"""What search asks of packages: documents that their publishers find."""

from __future__ import annotations

from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.messages import Query, internal


@internal
class ReadPackageDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents of those of these packages that there are."""

    ids: tuple[str, ...]


@internal
class ScanPackageDocuments(Query[DocumentPage]):
    """The documents of all packages, in the order of their ids, behind `after`."""

    after: str | None
    limit: int


@internal
class ListPackagesOfVersions(Query[tuple[str, ...]]):
    """The ids of the packages that these versions are of, or were of before they were deleted."""

    version_ids: tuple[str, ...]
