"""Projects, their members, and what another feature may ask about somebody's rights in one.

Whoever is not a member of a project does not learn that it exists (404); a member whose roles do not suffice hears so
(403 `project_role_missing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import MISSING, AfterValidator, Field

from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.context import Context
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE, TEXT

OF_OTHERS = "in projects that others are in: it is theirs"
"""Why the words of somebody who has left stay (core/personal.py)."""
LATEST = "latest"
"""The label that every prompt has and nobody stores: its newest version."""


def _no_latest(label: str) -> str:
    if label == LATEST:
        raise ValueError("is derived, and no label to set")
    return label


ProjectId = Annotated[str, Len(1, 100)]
ProjectName = Annotated[str, Len(1, 120), LINE, Field(examples=["Newsroom"])]
ProjectDescription = Annotated[str, Len(1, 2000), TEXT, Field(examples=["What the morning desk uses."])]
MemberId = Annotated[str, Len(1, 64)]
LabelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        pattern=r"^[a-z][a-z0-9._-]*$",
        examples=["production"],
        description="Lower-case letters, digits, `.`, `_` and `-`, beginning with a letter",
    ),
    AfterValidator(_no_latest),
]
ProtectedLabels = Annotated[tuple[LabelName, ...], Len(0, 20), Field(examples=[["production"]])]


class ProjectRole(StrEnum):
    """What a member is: `owner` may everything, `editor` writes, `deployer` moves every label, `viewer` reads."""

    OWNER = "owner"
    EDITOR = "editor"
    DEPLOYER = "deployer"
    VIEWER = "viewer"


class ProjectPermission(StrEnum):
    """What can be done in a project; `domain.PERMISSIONS` says which roles may."""

    READ = "read"
    WRITE = "write"
    LABEL = "label"
    """Move labels that are not protected."""
    DEPLOY = "deploy"
    """Move protected labels, such as `production`."""
    SELL = "sell"
    MANAGE = "manage"


Roles = Annotated[tuple[ProjectRole, ...], Len(1, 4), Field(examples=[["editor"]])]
Handle = Annotated[str, Len(1, 64), Field(examples=["ada-lovelace"])]


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project as one of its members sees it: `roles` are that member's own."""

    id: str
    name: str
    description: str | None
    personal: bool
    protected_labels: tuple[str, ...]
    roles: tuple[ProjectRole, ...]
    member_count: int
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member; `handle` is null where they have none."""

    user_id: str
    handle: str | None
    display_name: str | None
    roles: tuple[ProjectRole, ...]
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class MembersView:
    """All members of a project, those who came first before the others."""

    items: tuple[MemberView, ...]


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """What somebody may do in a project, as it is now."""

    project_id: str
    permissions: frozenset[ProjectPermission]
    protected_labels: frozenset[str]
    archived: bool


@requires(scope="projects:read")
class ListProjects(Query[Page[ProjectView]]):
    """List the projects that you are a member of, newest first; archived ones only where asked for."""

    archived: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="projects:write")
class CreateProject(Command[ProjectView]):
    """Make a project, whose owner you are."""

    name: ProjectName
    description: ProjectDescription | None = None
    protected_labels: ProtectedLabels = ("production",)


@requires(scope="projects:read")
class GetProject(Query[ProjectView]):
    """Read a project that you are a member of."""

    project_id: ProjectId


@requires(scope="projects:write")
class UpdateProject(Command[ProjectView]):
    """Change a project's name, description or protected labels, as its owner: only what is sent changes.

    Moving a protected label needs the role `deployer` or `owner`.
    """

    project_id: ProjectId
    name: ProjectName | MISSING = MISSING
    description: ProjectDescription | MISSING | None = MISSING
    protected_labels: ProtectedLabels | MISSING = MISSING


@requires(scope="projects:write")
class ArchiveProject(Command[ProjectView]):
    """Archive a project, as its owner: nothing in it can be changed any more, and what is served from it still is."""

    project_id: ProjectId


@requires(scope="projects:write")
class RestoreProject(Command[ProjectView]):
    """Bring an archived project back, as its owner."""

    project_id: ProjectId


@requires(scope="projects:read")
class ListMembers(Query[MembersView]):
    """List the members of a project."""

    project_id: ProjectId


@requires()
class AddMember(Command[MemberView]):
    """Add the person with this handle to a project, as its owner.

    A member can have several roles: who is `editor` and `deployer` writes and releases.
    """

    project_id: ProjectId
    handle: Handle
    roles: Roles


@requires()
class SetMemberRoles(Command[MemberView]):
    """Give a member other roles, as an owner. The last owner stays one (409 `last_owner`)."""

    project_id: ProjectId
    user_id: MemberId
    roles: Roles


@requires()
class RemoveMember(Command[None]):
    """Remove a member, as an owner; or leave, where it is yourself. The last owner stays (409 `last_owner`)."""

    project_id: ProjectId
    user_id: MemberId


@internal
class HasSharedProjects(Query[bool]):
    """Whether this person is the only owner of a project that others are in."""

    user_id: Annotated[str, Len(1, 64)]


@internal
class LeaveProjects(Command[None]):
    """Take a person whose account is closed out of every project that others are in.

    Where nobody else owns one, who has been in it for longest does from now on. What nobody else is in is marked as the
    person's own.
    """

    user_id: Annotated[str, Len(1, 64)]


@internal
class EnsurePersonalProject(Command[str]):
    """The id of the personal project of `user_id`, which is made where it is not there yet."""

    user_id: str


@internal
class AuthoriseInProject(Query[ProjectAccess]):
    """What `user_id` may do in the project, in the asker's transaction where there is one.

    Raises `NotFound` for who is no member, `ProjectRoleMissing` without the permission, and `ProjectArchived` where the
    permission is to change something and the project is archived.
    """

    project_id: str
    user_id: str
    permission: ProjectPermission


async def authorise(context: Context, project_id: str, permission: ProjectPermission) -> ProjectAccess:
    """What the context's user may do in a project; raises as `AuthoriseInProject` says."""
    return await context.ask(AuthoriseInProject(project_id=project_id, user_id=context.user_id, permission=permission))


async def project_to_write(tx: Context, project_id: str | None) -> str:
    """The project to write to: the one named, where the user may, or else their personal one."""
    if project_id is None:
        return await tx.ask(EnsurePersonalProject(user_id=tx.user_id))
    await authorise(tx, project_id, ProjectPermission.WRITE)
    return project_id


@internal
class ListReaders(Query[frozenset[str]]):
    """The users who may read what is in the project; nobody where there is no such project."""

    project_id: str


@internal
class ListProjectsOf(Query[tuple[str, ...]]):
    """The ids of the projects, without the archived ones, that `user_id` is a member of.

    `remembered`: what this process knows will do, which hears of other processes' changes a moment later.
    """

    user_id: str
    remembered: bool = False


# For search


@internal
class ReadProjectDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents of those of these projects that there are."""

    ids: tuple[str, ...]


@internal
class ScanProjectDocuments(Query[DocumentPage]):
    """The documents of all projects, in the order of their ids, behind `after`."""

    after: str | None
    limit: int
