"""What a project is, and which roles may do what in it.

| permission | owner | editor | deployer | viewer |
|---|---|---|---|---|
| read: see prompts, versions, drafts, labels; render; be served | ✓ | ✓ | ✓ | ✓ |
| write: prompts, versions, drafts, archiving, imports, forks into it | ✓ | ✓ | | |
| label: move labels that are not protected | ✓ | ✓ | ✓ | |
| deploy: move protected labels, such as `production` | ✓ | | ✓ | |
| sell: list a prompt on the market | ✓ | | | |
| manage: members, settings, archiving the project | ✓ | | | |

A member may do what any of their roles may.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from promptforge.actors.projects.errors import (
    AlreadyMember,
    LastOwner,
    PersonalProject,
    ProjectArchived,
    ProjectRoleMissing,
    TooManyMembers,
)
from promptforge.actors.projects.messages import ProjectAccess, ProjectPermission, ProjectRole, ProjectView
from promptforge.actors.search.messages import Kind, SearchDocument
from promptforge.core.deeds import Deed
from promptforge.core.errors import NotFound

MAX_MEMBERS = 100
MAX_PROJECTS = 200
"""That one person may be in."""
DEFAULT_PROTECTED = ("production",)

_P = ProjectPermission
PERMISSIONS: dict[ProjectRole, frozenset[ProjectPermission]] = {
    ProjectRole.OWNER: frozenset(ProjectPermission),
    ProjectRole.EDITOR: frozenset({_P.READ, _P.WRITE, _P.LABEL}),
    ProjectRole.DEPLOYER: frozenset({_P.READ, _P.LABEL, _P.DEPLOY}),
    ProjectRole.VIEWER: frozenset({_P.READ}),
}
CHANGING = frozenset({_P.WRITE, _P.LABEL, _P.DEPLOY})
"""What an archived project refuses. Its owner may still manage it: that is how it comes back."""


@dataclass(frozen=True, slots=True)
class Member:
    user_id: str
    roles: tuple[ProjectRole, ...]
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Project:
    """`members` are kept with the project, so that one write decides about who is its last owner."""

    id: str
    name: str
    description: str | None
    personal_of: str | None
    protected_labels: tuple[str, ...]
    members: tuple[Member, ...]
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def member(self, user_id: str) -> Member:
        """Raises `NotFound`."""
        for member in self.members:
            if member.user_id == user_id:
                return member
        raise no_project()

    def view(self, user_id: str) -> ProjectView:
        return ProjectView(
            id=self.id,
            name=self.name,
            description=self.description,
            personal=self.personal_of is not None,
            protected_labels=self.protected_labels,
            roles=self.member(user_id).roles,
            member_count=len(self.members),
            archived_at=self.archived_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def no_project() -> NotFound:
    return NotFound("There is no such project, or you are not a member of it")


def personal_id(user_id: str) -> str:
    """One per person by construction, so that whoever makes it first makes the same one."""
    return "prj_" + user_id.removeprefix("usr_")


def personal_project(user_id: str, *, now: datetime) -> Project:
    return new_project(personal_id(user_id), "Personal", user_id, now=now, personal=True)


def new_project(  # a project's fields
    project_id: str,
    name: str,
    user_id: str,
    *,
    now: datetime,
    description: str | None = None,
    protected_labels: Iterable[str] = DEFAULT_PROTECTED,
    personal: bool = False,
) -> Project:
    """A project whose only member, and owner, is `user_id`."""
    return Project(
        id=project_id,
        name=name,
        description=description,
        personal_of=user_id if personal else None,
        protected_labels=tuple(dict.fromkeys(protected_labels)),
        members=(Member(user_id, (ProjectRole.OWNER,), user_id, now),),
        archived_at=None,
        created_at=now,
        updated_at=now,
    )


def search_document(project: Project) -> SearchDocument:
    """Its members find it."""
    return SearchDocument(
        kind=Kind.PROJECT,
        id=project.id,
        audience=project.id,
        title=project.name,
        changed_at=project.updated_at,
        summary=project.description or "",
    )


def access(project: Project, user_id: str, permission: ProjectPermission) -> ProjectAccess:
    """What `user_id` may do. Raises `NotFound`, `ProjectRoleMissing` or `ProjectArchived`."""
    held = frozenset().union(*(PERMISSIONS[role] for role in project.member(user_id).roles))
    if permission not in held:
        able = [role.value for role in ProjectRole if permission in PERMISSIONS[role]]
        raise ProjectRoleMissing(f"This needs the role {' or '.join(able)} in the project")
    archived = project.archived_at is not None
    if archived and permission in CHANGING:
        raise ProjectArchived
    return ProjectAccess(project.id, held, frozenset(project.protected_labels), archived)


def readers(project: Project) -> frozenset[str]:
    """Who may read what is in it."""
    able = {role for role, permissions in PERMISSIONS.items() if ProjectPermission.READ in permissions}
    return frozenset(member.user_id for member in project.members if not able.isdisjoint(member.roles))


def with_member(project: Project, member: Member) -> Project:
    """Raises `PersonalProject`, `AlreadyMember` or `TooManyMembers`."""
    if project.personal_of is not None:
        raise PersonalProject("Nobody else can be a member of a personal project: make another project")
    if any(known.user_id == member.user_id for known in project.members):
        raise AlreadyMember
    if len(project.members) >= MAX_MEMBERS:
        raise TooManyMembers(f"A project has at most {MAX_MEMBERS} members")
    return replace(project, members=(*project.members, member))


def with_roles(project: Project, user_id: str, roles: tuple[ProjectRole, ...]) -> Project:
    """Raises `NotFound` where they are no member, or `LastOwner`."""
    changed = replace(project.member(user_id), roles=normal_roles(roles))
    members = tuple(changed if member.user_id == user_id else member for member in project.members)
    return _owned(replace(project, members=members))


def without_member(project: Project, user_id: str) -> Project:
    """Raises `NotFound` where they are no member, `PersonalProject` or `LastOwner`."""
    leaving = project.member(user_id)
    if project.personal_of is not None:
        raise PersonalProject("Nobody leaves their personal project")
    return _owned(replace(project, members=tuple(member for member in project.members if member is not leaving)))


def deeds(before: Project, after: Project, by: str) -> tuple[Deed, ...]:
    """What the audit log keeps of a change: who came, who left or was removed, and whose roles are others now."""
    was = {member.user_id: [role.value for role in member.roles] for member in before.members}
    now = {member.user_id: [role.value for role in member.roles] for member in after.members}
    done = []
    for user_id in sorted(was.keys() | now.keys()):
        old, new = was.get(user_id), now.get(user_id)
        if old == new:
            continue
        if old is None:
            action = "member.added"
        elif new is None:
            action = "member.left" if user_id == by else "member.removed"
        else:
            action = "member.roles_changed"
        done.append(Deed(action, after.id, _facts(user_id, old), _facts(user_id, new)))
    return tuple(done)


def _facts(user_id: str, roles: list[str] | None) -> dict[str, object] | None:
    return None if roles is None else {"user_id": user_id, "roles": roles}


def normal_roles(roles: Iterable[ProjectRole]) -> tuple[ProjectRole, ...]:
    """Each once, in one order."""
    held = set(roles)
    return tuple(role for role in ProjectRole if role in held)


def is_last_owner(project: Project, user_id: str) -> bool:
    owners = {member.user_id for member in project.members if ProjectRole.OWNER in member.roles}
    return owners == {user_id}


def abandoned(project: Project, user_id: str) -> Project:
    """Without somebody whose account is closed. Where no owner is left, who came first of the others becomes one."""
    staying = tuple(member for member in project.members if member.user_id != user_id)
    if staying and not any(ProjectRole.OWNER in member.roles for member in staying):
        heir = min(staying, key=lambda member: member.added_at)
        owner = replace(heir, roles=normal_roles((*heir.roles, ProjectRole.OWNER)))
        staying = tuple(owner if member is heir else member for member in staying)
    return replace(project, members=staying)


def _owned(project: Project) -> Project:
    if not any(ProjectRole.OWNER in member.roles for member in project.members):
        raise LastOwner
    return project
