"""Hands over to search what publishers find of their packages."""

from __future__ import annotations

from promptforge.actors.packages.documents.messages import (
    ListPackagesOfVersions,
    ReadPackageDocuments,
    ScanPackageDocuments,
)
from promptforge.actors.packages.documents.store import PackageDocumentStore
from promptforge.actors.packages.registry.store import package_of
from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class PackageDocumentsActor(Actor):
    name = "package_documents"

    def __init__(self, store: PackageDocumentStore) -> None:
        self._store = store

    @handles(ReadPackageDocuments)
    async def read(self, message: ReadPackageDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return await self._store.read(message.ids)

    @handles(ScanPackageDocuments)
    async def scan(self, message: ScanPackageDocuments, context: Context) -> DocumentPage:
        documents = await self._store.scan(message.after, message.limit)
        return DocumentPage(documents, documents[-1].id if len(documents) == message.limit else None)

    @handles(ListPackagesOfVersions)
    async def list_of_versions(self, message: ListPackagesOfVersions, context: Context) -> tuple[str, ...]:
        return tuple({package_of(version_id) for version_id in message.version_ids})
