"""Every query on `packages`, `package_versions`, `package_turns` and `revoked_files`, the hashes of what was revoked.

A version is written conditionally on its state: a draft changes, what is being built or is published does not. The
attempt at building a file is fenced by the file's id; the ids of all files that were begun are kept until what they
left is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from promptforge.actors.packages.errors import NotADraft, VersionTaken
from promptforge.actors.packages.format.names import name_key
from promptforge.actors.packages.messages import (
    BuildFailure,
    ChosenPrompt,
    Mark,
    PackageVersionView,
    PackageView,
    VersionState,
)
from promptforge.actors.packages.registry.domain import Kept
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session, StoredFile
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Held, Subject, kept, marks, nobody

PACKAGES = "packages"
VERSIONS = "package_versions"
REVOKED = "revoked_files"
TURNS = "package_turns"

INDEXES: dict[str, tuple[Index, ...]] = {
    PACKAGES: (
        Index((("publisher_id", 1), ("name_key", 1)), unique=True),
        Index((("publisher_id", 1), ("created_at", -1), ("_id", -1))),
    ),
    VERSIONS: (
        Index((("package_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("updated_at", 1)), partial={"state": "building"}),
        Index((("publisher_id", 1), ("state", 1), ("size", 1))),
        Index((("state", 1), ("file_ids", 1))),
        Index((("sha256", 1),), partial={"sha256": {"$type": "string"}}),
    ),
    REVOKED: (),
    TURNS: (),
}
OTHERS = "only of what others have bought: it is theirs to use"
HELD = {
    PACKAGES: Held(
        "Your packages",
        (Subject("publisher_id", marks(kept(OTHERS), "name", "name_key"), deleted=True, spared=("_id",)),),
        plain=frozenset({"latest"}),
    ),
    VERSIONS: Held(
        "The versions of your packages",
        (
            Subject(
                "publisher_id",
                {
                    **marks(kept(OTHERS), "name", "description", "readme", "manifest", "yanked"),
                    **marks(CLEARED, "failure"),
                },
                deleted=True,
                spared=("package_id", "number"),
            ),
        ),
        plain=frozenset(
            {
                "_id",
                "package_id",
                "version",
                "state",
                "prompts.*",
                "dataset_ids",
                "job_id",
                "writer",
                "file_id",
                "file_ids",
            }
            | {"sha256", "key_id", "revoked.*"}
        ),
    ),
    TURNS: nobody("How often each internal id has added to its packages, so that two at once conflict"),
    REVOKED: nobody("Hashes of files of packages that were revoked, and why"),
}


@dataclass(frozen=True, slots=True)
class Built:
    """What a version becomes when it is published."""

    file: StoredFile
    manifest: bytes
    key_id: str


class PackageStore:
    def __init__(self, mongo: Mongo) -> None:
        self._packages = mongo.collection(PACKAGES)
        self._versions = mongo.collection(VERSIONS)
        self._revoked = mongo.collection(REVOKED)
        self._turns = mongo.collection(TURNS)

    async def take_turn(self, publisher_id: str, *, session: Session | None) -> Kept:
        """What a publisher has. Of two who are about to add to it at once the second sees what the first has added."""
        await self._turns.update_one({"_id": publisher_id}, {"$inc": {"asked": 1}}, upsert=True, session=session)
        packages = await self._packages.count_documents({"publisher_id": publisher_id}, session=session)
        each = {"_id": "$state", "number": {"$sum": 1}, "size": {"$sum": "$size"}}
        pipeline: list[Document] = [{"$match": {"publisher_id": publisher_id}}, {"$group": each}]
        rows = await self._versions.aggregate(pipeline, session=session).to_list(None)  # one for each state
        numbers = {VersionState(row["_id"]): row["number"] for row in rows}
        return Kept(
            packages=packages,
            drafts=numbers.get(VersionState.DRAFT, 0),
            building=numbers.get(VersionState.BUILDING, 0),
            published=numbers.get(VersionState.PUBLISHED, 0),
            size=sum(row["size"] for row in rows),
        )

    # Packages

    async def insert(self, package: PackageView, *, session: Session | None) -> bool:
        """False where the publisher has one of a name that looks like it."""
        wanted = {"publisher_id": package.publisher_id, "name_key": name_key(package.name)}
        fields = asdict(package)
        del fields["publisher_id"], fields["id"]
        row = await self._packages.find_one_and_upsert(
            wanted, {"$setOnInsert": {"_id": package.id, **fields}}, session=session
        )
        return bool(row["_id"] == package.id)

    async def get(self, package_id: str, *, session: Session | None = None) -> PackageView:
        """Whoever asks. Raises `NotFound`."""
        row = await self._packages.find_one({"_id": package_id}, session=session)
        if row is None:
            raise no_package()
        return _package_from(row)

    async def get_own(self, package_id: str, publisher_id: str, *, session: Session | None = None) -> PackageView:
        """Raises `NotFound`, also for somebody else's."""
        package = await self.get(package_id, session=session)
        if package.publisher_id != publisher_id:
            raise no_package()
        return package

    async def list_page(self, publisher_id: str, *, cursor: Cursor | None, limit: int) -> Page[PackageView]:
        wanted = {"publisher_id": publisher_id, **(cursor.after() if cursor else {})}
        rows = self._packages.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _package_from)

    async def touch(self, package_id: str, *, now: datetime, latest: str | None, session: Session | None) -> None:
        """Two who publish, yank or revoke versions of one package at once conflict, and the second sees the first."""
        changes = {"$set": {"updated_at": now, "latest": latest}, "$inc": {"changes": 1}}
        await self._packages.update_one({"_id": package_id}, changes, session=session)

    # Versions

    async def insert_draft(self, version: PackageVersionView, *, session: Session | None) -> None:
        """Raises `VersionTaken`."""
        fields = {**asdict(version), **_chosen(version.prompts), "state": version.state.value, "file_ids": []}
        fields["dataset_ids"] = list(version.dataset_ids)
        row = await self._versions.find_one_and_upsert(
            {"_id": version_id(version.package_id, version.version)},
            {"$setOnInsert": fields, "$inc": {"asked": 1}},
            session=session,
        )
        if row["asked"] != 1:
            raise VersionTaken(f"{version.name} has a version {version.version} already")

    async def get_version(self, package_id: str, version: str, *, session: Session | None = None) -> PackageVersionView:
        """Whoever asks. Raises `NotFound`."""
        return _version_from(await self._row(package_id, version, session))

    async def get_own_version(
        self, package_id: str, version: str, publisher_id: str, *, session: Session | None = None
    ) -> PackageVersionView:
        """Raises `NotFound`, also for somebody else's."""
        found = await self.get_version(package_id, version, session=session)
        if found.publisher_id != publisher_id:
            raise no_package()
        return found

    async def _row(self, package_id: str, version: str, session: Session | None) -> Document:
        row = await self._versions.find_one({"_id": version_id(package_id, version)}, session=session)
        if row is None:
            raise no_package()
        return row

    async def list_versions(self, package_id: str, *, cursor: Cursor | None, limit: int) -> Page[PackageVersionView]:
        wanted = {"package_id": package_id, **(cursor.after() if cursor else {})}
        rows = self._versions.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _version_from)

    async def list_taken(self, package_id: str, *, session: Session | None) -> list[tuple[str, bool]]:
        """The versions that are published or are being, and whether each may be used."""
        wanted = {"package_id": package_id, "state": {"$ne": VersionState.DRAFT.value}}
        fields = {"version": 1, "state": 1, "yanked": 1, "revoked": 1}
        rows = await self._versions.find(wanted, fields, session=session).to_list(None)  # of one package
        return [(row["version"], _usable(row)) for row in rows]

    async def edit(
        self, package_id: str, version: str, changes: Mapping[str, Any], *, now: datetime, session: Session | None
    ) -> PackageVersionView:
        """`changes`: fields of a draft. Raises `NotADraft`."""
        stored = dict(changes)
        if "prompts" in stored:
            stored |= _chosen(stored["prompts"])
        if "dataset_ids" in stored:
            stored["dataset_ids"] = list(stored["dataset_ids"])
        return await self._of_draft(package_id, version, {"$set": {**stored, "updated_at": now}}, session)

    async def discard(self, package_id: str, version: str, *, session: Session | None) -> tuple[str, ...]:
        """In a transaction; answers the files that builds of it have left. Raises `NotADraft`."""
        draft = {"_id": version_id(package_id, version), "state": VersionState.DRAFT.value}
        row = await self._versions.find_one(draft, {"file_ids": 1}, session=session)
        if row is None or not (await self._versions.delete_one(draft, session=session)).deleted_count:
            raise NotADraft
        return tuple(row["file_ids"])

    async def start_building(
        self,
        version: PackageVersionView,
        *,
        job_id: str,
        revisions: Mapping[str, int],
        now: datetime,
        session: Session | None,
    ) -> PackageVersionView:
        """`revisions`: those of the datasets. Raises `NotADraft`."""
        building = {
            "state": VersionState.BUILDING.value,
            "job_id": job_id,
            "revisions": dict(revisions),
            "failure": None,
            "updated_at": now,
        }
        return await self._of_draft(version.package_id, version.version, {"$set": building}, session)

    async def _of_draft(
        self, package_id: str, version: str, update: Document, session: Session | None
    ) -> PackageVersionView:
        draft = {"_id": version_id(package_id, version), "state": VersionState.DRAFT.value}
        row = await self._versions.find_one_and_update(draft, update, session=session)
        if row is None:
            raise NotADraft
        return _version_from(row)

    # Building

    async def begin_file(
        self, package_id: str, version: str, file_id: str
    ) -> tuple[PackageVersionView, dict[str, int], tuple[str, ...]] | None:
        """Note a file before its first byte is written; answers datasets' revisions and the files of attempts before.

        None where it is not being built any more.
        """
        building = {"_id": version_id(package_id, version), "state": VersionState.BUILDING.value}
        update = {"$push": {"file_ids": file_id}, "$set": {"writer": file_id}}
        row = await self._versions.find_one_and_update(building, update)
        if row is None:
            return None
        return _version_from(row), row["revisions"], tuple(one for one in row["file_ids"] if one != file_id)

    async def publish(
        self, package_id: str, version: str, built: Built, *, now: datetime, session: Session | None
    ) -> bool:
        """False where another attempt has taken it up since."""
        wanted = {
            "_id": version_id(package_id, version),
            "state": VersionState.BUILDING.value,
            "writer": built.file.id,
        }
        earlier = {"package_id": package_id, "state": VersionState.PUBLISHED.value}
        number = await self._versions.count_documents(earlier, session=session) + 1
        published = {
            "state": VersionState.PUBLISHED.value,
            "number": number,
            "file_id": built.file.id,
            "size": built.file.size,
            "sha256": built.file.sha256,
            "key_id": built.key_id,
            "manifest": built.manifest.decode(),
            "published_at": now,
            "updated_at": now,
        }
        written = await self._versions.update_one(wanted, {"$set": published}, session=session)
        return written.matched_count == 1

    async def back_to_draft(
        self, package_id: str, version: str, failure: BuildFailure, *, session: Session | None = None
    ) -> tuple[str, ...]:
        """It could not be built; answers the files that were begun. Nothing where it is not being built."""
        building = {"_id": version_id(package_id, version), "state": VersionState.BUILDING.value}
        changes = {"state": VersionState.DRAFT.value, "failure": asdict(failure), "writer": None}
        row = await self._versions.find_one_and_update(building, {"$set": changes}, session=session)
        return () if row is None else tuple(row["file_ids"])

    async def list_building(self, *, before: datetime, limit: int) -> list[PackageVersionView]:
        """Those that were begun before a moment."""
        wanted = {"state": VersionState.BUILDING.value, "updated_at": {"$lt": before}}
        rows = self._versions.find(wanted).sort([("updated_at", 1)]).limit(limit)
        return [_version_from(row) for row in await rows.to_list(limit)]

    async def list_left(self, *, limit: int) -> list[tuple[PackageVersionView, tuple[str, ...]]]:
        """Drafts of which builds have left files, and those."""
        wanted = {"state": VersionState.DRAFT.value, "file_ids": {"$gt": ""}}
        rows = await self._versions.find(wanted).limit(limit).to_list(limit)
        return [(_version_from(row), tuple(row["file_ids"])) for row in rows]

    async def forget_files(self, package_id: str, version: str, file_ids: Sequence[str]) -> None:
        await self._versions.update_one(
            {"_id": version_id(package_id, version)}, {"$pull": {"file_ids": {"$in": list(file_ids)}}}
        )

    async def find_file_id(self, package_id: str, version: str) -> str | None:
        found: str | None = (await self._row(package_id, version, None)).get("file_id")
        return found

    async def get_number(self, package_id: str, version: str, *, session: Session | None) -> int:
        """The how-manieth of its package's that were published. Raises `NotFound`."""
        row = await self._row(package_id, version, session)
        if "number" not in row:
            raise no_package()
        number: int = row["number"]
        return number

    async def get_numbered(self, package_id: str, number: int, *, session: Session | None) -> PackageVersionView:
        """Whoever asks. Raises `NotFound`."""
        row = await self._versions.find_one({"package_id": package_id, "number": number}, session=session)
        if row is None:
            raise no_package()
        return _version_from(row)

    # Afterwards

    async def mark(
        self, package_id: str, version: str, name: str, mark: Mark | None, *, session: Session | None
    ) -> PackageVersionView:
        """`name`: `yanked` or `revoked`, of a published version. Raises `NotFound`."""
        published = {"_id": version_id(package_id, version), "state": VersionState.PUBLISHED.value}
        told = None if mark is None else asdict(mark)
        row = await self._versions.find_one_and_update(published, {"$set": {name: told}}, session=session)
        if row is None:
            raise no_package()
        return _version_from(row)

    async def revoke_file(self, sha256: str, mark: Mark, *, session: Session | None) -> Mark:
        """By its hash, which stays when its publisher is erased; answers the first mark of it."""
        row = await self._revoked.find_one_and_upsert({"_id": sha256}, {"$setOnInsert": asdict(mark)}, session=session)
        return Mark(row["at"], row["reason"])

    async def find_revoked(self, sha256: str, *, session: Session | None) -> Mark | None:
        return _mark_from(await self._revoked.find_one({"_id": sha256}, session=session))

    async def find_revocation(self, version: PackageVersionView, *, session: Session | None) -> Mark | None:
        """Of a version, or of its file by its hash, which may have been revoked before it was published."""
        if version.revoked is not None or version.sha256 is None:
            return version.revoked
        return await self.find_revoked(version.sha256, session=session)

    async def find_by_hash(self, sha256: str, *, session: Session | None) -> PackageVersionView | None:
        row = await self._versions.find_one({"sha256": sha256}, session=session)
        return None if row is None else _version_from(row)


def no_package() -> NotFound:
    return NotFound("There is no such package or version, or it is not yours")


def version_id(package_id: str, version: str) -> str:
    return f"{package_id}:{version}"


def package_of(identifier: str) -> str:
    """The package of which it is a version's id."""
    return identifier.partition(":")[0]


def _chosen(prompts: Sequence[ChosenPrompt]) -> Document:
    return {"prompts": [asdict(one) for one in dict.fromkeys(prompts)]}


def _usable(row: Document) -> bool:
    published = row["state"] == VersionState.PUBLISHED.value
    return published and row.get("yanked") is None and row.get("revoked") is None


def _package_from(row: Document) -> PackageView:
    return PackageView(
        id=row["_id"],
        publisher_id=row["publisher_id"],
        name=row["name"],
        latest=row["latest"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _mark_from(row: Document | None) -> Mark | None:
    return None if row is None else Mark(row["at"], row["reason"])


def _version_from(row: Document) -> PackageVersionView:
    failure = row["failure"]
    return PackageVersionView(
        package_id=row["package_id"],
        publisher_id=row["publisher_id"],
        name=row["name"],
        version=row["version"],
        state=VersionState(row["state"]),
        description=row["description"],
        readme=row["readme"],
        prompts=tuple(ChosenPrompt(one["prompt_id"], one["version"]) for one in row["prompts"]),
        dataset_ids=tuple(row["dataset_ids"]),
        failure=None if failure is None else BuildFailure(failure["code"], failure["detail"]),
        job_id=row["job_id"],
        size=row["size"],
        sha256=row["sha256"],
        key_id=row["key_id"],
        yanked=_mark_from(row["yanked"]),
        revoked=_mark_from(row["revoked"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        published_at=row["published_at"],
    )
