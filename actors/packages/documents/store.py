"""Reads packages for search: each with the words of the version that speaks for it.

That is the latest one, or while there is none the newest that was neither yanked nor revoked, such as a first draft.
What was revoked because it does harm is in no index.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.packages.registry.store import PACKAGES, VERSIONS, version_id
from promptforge.actors.search.messages import Kind, SearchDocument
from promptforge.core.mongo import Document, Mongo

README_CHARACTERS = 4000
"""That are searched: a README says at its beginning what a package is for."""
_WORDS: Document = {
    "package_id": 1,
    "description": 1,
    "readme": {"$substrCP": ["$readme", 0, README_CHARACTERS]},
    "updated_at": 1,
}
_FIT: Document = {"yanked": None, "revoked": None}


class PackageDocumentStore:
    def __init__(self, mongo: Mongo) -> None:
        self._packages = mongo.collection(PACKAGES)
        self._versions = mongo.collection(VERSIONS)

    async def read(self, ids: Sequence[str]) -> tuple[SearchDocument, ...]:
        rows = self._packages.find({"_id": {"$in": list(ids)}})
        return await self._described(await rows.to_list(len(ids)))

    async def scan(self, after: str | None, limit: int) -> tuple[SearchDocument, ...]:
        rows = self._packages.find({"_id": {"$gt": after or ""}}).sort([("_id", 1)]).limit(limit)
        return await self._described(await rows.to_list(limit))

    async def _described(self, packages: Sequence[Document]) -> tuple[SearchDocument, ...]:
        words = await self._latest([version_id(row["_id"], row["latest"]) for row in packages if row["latest"]])
        words |= await self._newest([row["_id"] for row in packages if row["_id"] not in words])
        return tuple(_document(row, words.get(row["_id"])) for row in packages)

    async def _latest(self, ids: list[str]) -> dict[str, Document]:
        if not ids:
            return {}
        rows = await self._versions.find({"_id": {"$in": ids}, **_FIT}, _WORDS).to_list(len(ids))
        return {row["package_id"]: row for row in rows}

    async def _newest(self, package_ids: list[str]) -> dict[str, Document]:
        if not package_ids:
            return {}
        newest = [
            {"$match": {"package_id": {"$in": package_ids}, **_FIT}},
            {"$sort": {"package_id": 1, "created_at": -1, "_id": -1}},
            {"$project": _WORDS},
            {"$group": {"_id": "$package_id", "words": {"$first": "$$ROOT"}}},
            {"$replaceRoot": {"newRoot": "$words"}},
        ]
        return {row["package_id"]: row async for row in self._versions.aggregate(newest)}


def _document(package: Document, words: Document | None) -> SearchDocument:
    changed_at: datetime = package["updated_at"]
    if words is None:
        words = {}
    else:
        changed_at = max(changed_at, words["updated_at"])
    return SearchDocument(
        kind=Kind.PACKAGE,
        id=package["_id"],
        audience=package["publisher_id"],
        title=package["name"],
        changed_at=changed_at,
        summary=words.get("description") or "",
        body=words.get("readme") or "",
    )
