"""Every query on the collection `projects`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.projects.domain import Member, Project, no_project, personal_project
from promptforge.actors.projects.messages import ProjectRole
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, REDACTED, Held, Subject, marks

PROJECTS = "projects"

INDEXES: dict[str, tuple[Index, ...]] = {
    PROJECTS: (
        Index((("members.user_id", 1), ("archived", 1), ("created_at", -1), ("_id", -1))),
        Index((("personal_of", 1),), partial={"personal_of": {"$gt": ""}}),
        Index((("left_by", 1),), partial={"left_by": {"$gt": ""}}),
    ),
}
HELD = {
    PROJECTS: Held(
        "Projects that you are in; of the members only you",
        (
            Subject("personal_of", {**marks(REDACTED, "name"), **marks(CLEARED, "description")}, owned=True),
            Subject("left_by", {**marks(REDACTED, "name"), **marks(CLEARED, "description")}, owned=True),
            Subject("members.user_id", pulled="members", whole=True),
        ),
        plain=frozenset({"_id", "members.*", "protected_labels", "name", "description"}),
    )
}
"""A project that others are in stays as it is: what it is called is theirs as well."""


class ProjectStore:
    def __init__(self, mongo: Mongo) -> None:
        self._projects = mongo.collection(PROJECTS)

    async def insert(self, project: Project, *, session: Session | None) -> None:
        await self._projects.insert_one({"_id": project.id, **_fields(project)}, session=session)

    async def ensure_personal(self, user_id: str, *, now: datetime, session: Session | None) -> tuple[str, bool]:
        """The id of the personal project, which is made where it is missing, and whether it was.

        An upsert on the id: a duplicate key would abort the transaction. Two at once conflict, and the second, run
        again, finds the first.
        """
        wanted = personal_project(user_id, now=now)
        missing = await self._projects.find_one({"_id": wanted.id}, {"_id": 1}, session=session) is None
        if missing:
            await self._projects.find_one_and_upsert(
                {"_id": wanted.id}, {"$setOnInsert": _fields(wanted)}, session=session
            )
        return wanted.id, missing

    async def get(self, project_id: str, user_id: str, *, session: Session | None = None) -> Project:
        """A project that `user_id` is a member of. Raises `NotFound`."""
        row = await self._projects.find_one({"_id": project_id, "members.user_id": user_id}, session=session)
        if row is None:
            raise no_project()
        return _project_from(row)

    async def find(self, project_id: str, *, session: Session | None) -> Project | None:
        """Whoever asks."""
        row = await self._projects.find_one({"_id": project_id}, session=session)
        return None if row is None else _project_from(row)

    async def list_these(self, project_ids: Sequence[str]) -> list[Project]:
        """Whoever asks: those of them that there are."""
        rows = self._projects.find({"_id": {"$in": list(project_ids)}})
        return [_project_from(row) for row in await rows.to_list(len(project_ids))]

    async def scan(self, after: str | None, limit: int) -> list[Project]:
        """Whoever asks: all, in the order of their ids."""
        rows = self._projects.find({"_id": {"$gt": after or ""}}).sort([("_id", 1)]).limit(limit)
        return [_project_from(row) for row in await rows.to_list(limit)]

    async def list_page(self, user_id: str, *, archived: bool, cursor: Cursor | None, limit: int) -> Page[Project]:
        wanted: Document = {
            "members.user_id": user_id,
            "archived": archived,
            **(cursor.after() if cursor else {}),
        }
        rows = self._projects.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _project_from)

    async def list_ids(self, user_id: str, *, limit: int, session: Session | None) -> tuple[str, ...]:
        """Those that are not archived."""
        rows = self._projects.find({"members.user_id": user_id, "archived": False}, {"_id": 1}, session=session).limit(
            limit
        )
        return tuple([row["_id"] for row in await rows.to_list(limit)])

    async def list_of(self, user_id: str, *, session: Session | None) -> list[Project]:
        """Archived ones too; nobody is in many."""
        rows = self._projects.find({"members.user_id": user_id}, session=session)
        return [_project_from(row) for row in await rows.to_list(None)]

    async def mark_left(self, project_id: str, user_id: str, *, session: Session | None) -> None:
        """It is nobody else's, and goes with its owner."""
        await self._projects.update_one({"_id": project_id}, {"$set": {"left_by": user_id}}, session=session)

    async def count(self, user_id: str, *, limit: int, session: Session | None) -> int:
        return await self._projects.count_documents({"members.user_id": user_id}, limit=limit, session=session)

    async def save(self, project: Project, *, now: datetime, session: Session | None) -> Project:
        """Write what was read in the same transaction: another write meanwhile makes it begin again."""
        changes = {**_fields(project), "updated_at": now}
        row = await self._projects.find_one_and_update({"_id": project.id}, {"$set": changes}, session=session)
        if row is None:
            raise no_project()
        return _project_from(row)


def _fields(project: Project) -> Document:
    return {
        "name": project.name,
        "description": project.description,
        "personal_of": project.personal_of,
        "protected_labels": list(project.protected_labels),
        "members": [
            {
                "user_id": member.user_id,
                "roles": [role.value for role in member.roles],
                "added_by": member.added_by,
                "added_at": member.added_at,
            }
            for member in project.members
        ],
        "archived": project.archived_at is not None,
        "archived_at": project.archived_at,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
    }


def _project_from(row: Document) -> Project:
    return Project(
        id=row["_id"],
        name=row["name"],
        description=row["description"],
        personal_of=row["personal_of"],
        protected_labels=tuple(row["protected_labels"]),
        members=tuple(
            Member(
                user_id=member["user_id"],
                roles=tuple(ProjectRole(role) for role in member["roles"]),
                added_by=member["added_by"],
                added_at=member["added_at"],
            )
            for member in row["members"]
        ),
        archived_at=row["archived_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
