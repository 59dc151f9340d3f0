"""Keeps projects and their members, and answers who may do what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import MISSING

from promptforge.actors.projects.domain import (
    MAX_PROJECTS,
    Member,
    Project,
    abandoned,
    access,
    deeds,
    is_last_owner,
    new_project,
    normal_roles,
    readers,
    search_document,
    with_member,
    with_roles,
    without_member,
)
from promptforge.actors.projects.errors import PersonalProject, TooManyProjects
from promptforge.actors.projects.memberships import Memberships
from promptforge.actors.projects.messages import (
    AddMember,
    ArchiveProject,
    AuthoriseInProject,
    CreateProject,
    EnsurePersonalProject,
    GetProject,
    HasSharedProjects,
    LeaveProjects,
    ListMembers,
    ListProjects,
    ListProjectsOf,
    ListReaders,
    MembersView,
    MemberView,
    ProjectAccess,
    ProjectPermission,
    ProjectView,
    ReadProjectDocuments,
    RemoveMember,
    RestoreProject,
    ScanProjectDocuments,
    SetMemberRoles,
    UpdateProject,
)
from promptforge.actors.projects.store import ProjectStore
from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.actors.users.messages import GetNames, GetPublicProfile, PersonName, PublicProfileView
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class ProjectsActor(Actor):
    name = "projects"
    asks = ("users",)

    def __init__(self, store: ProjectStore, memberships: Memberships | None = None) -> None:
        self._store = store
        self._memberships = Memberships() if memberships is None else memberships

    # Projects

    @handles(ListProjects)
    async def list_projects(self, message: ListProjects, context: Context) -> Page[ProjectView]:
        page = await self._store.list_page(
            context.user_id,
            archived=message.archived,
            cursor=Cursor.decode_optional(message.cursor),
            limit=message.limit,
        )
        return Page(tuple(project.view(context.user_id) for project in page.items), page.next)

    @handles(CreateProject, transactional=True)
    async def create(self, message: CreateProject, context: Context) -> ProjectView:
        project = new_project(
            new_id("prj"),
            message.name,
            context.user_id,
            now=context.now(),
            description=message.description,
            protected_labels=message.protected_labels,
        )
        await self._check_room(context.user_id, context)
        await self._store.insert(project, session=context.session)
        context.after_commit(lambda: self._memberships.lists.forget((context.user_id,)))
        return project.view(context.user_id)

    async def _check_room(self, user_id: str, context: Context) -> None:
        """The bound keeps lists over all of one's projects small; it need not be exact."""
        if await self._store.count(user_id, limit=MAX_PROJECTS, session=context.session) >= MAX_PROJECTS:
            raise TooManyProjects(f"Nobody may be in more than {MAX_PROJECTS} projects")

    @handles(GetProject, transactional=True)
    async def get_project(self, message: GetProject, context: Context) -> ProjectView:
        project = await self._store.get(message.project_id, context.user_id, session=context.session)
        return project.view(context.user_id)

    @handles(UpdateProject, key="project_id", transactional=True)
    async def update(self, message: UpdateProject, context: Context) -> ProjectView:
        def changed(project: Project) -> Project:
            sent: dict[str, Any] = {  # Any: whatever the fields hold
                name: value
                for name in ("name", "description", "protected_labels")
                if (value := getattr(message, name)) is not MISSING
            }
            if "protected_labels" in sent:
                sent["protected_labels"] = tuple(dict.fromkeys(sent["protected_labels"]))
            return replace(project, **sent)

        return (await self._manage(message.project_id, changed, context)).view(context.user_id)

    @handles(ArchiveProject, key="project_id", transactional=True)
    async def archive(self, message: ArchiveProject, context: Context) -> ProjectView:
        def archived(project: Project) -> Project:
            if project.personal_of is not None:
                raise PersonalProject("A personal project cannot be archived")
            return replace(project, archived_at=project.archived_at or context.now())

        return (await self._manage(message.project_id, archived, context)).view(context.user_id)

    @handles(RestoreProject, key="project_id", transactional=True)
    async def restore(self, message: RestoreProject, context: Context) -> ProjectView:
        restored = await self._manage(message.project_id, lambda project: replace(project, archived_at=None), context)
        return restored.view(context.user_id)

    async def _manage(self, project_id: str, change: Callable[[Project], Project], context: Context) -> Project:
        """Change a project as its owner; what changes nothing is not written."""

        async def work(tx: Context) -> Project:
            project = await self._store.get(project_id, tx.user_id, session=tx.session)
            access(project, tx.user_id, ProjectPermission.MANAGE)
            changed = change(project)
            return project if changed == project else await self._save(project, changed, tx)

        return await context.transaction(work)

    async def _save(self, before: Project, changed: Project, tx: Context) -> Project:
        """In this process it holds from the commit on, in others as soon as the change stream tells."""
        saved = await self._store.save(changed, now=tx.now(), session=tx.session)
        for deed in deeds(before, changed, tx.user_id):
            await tx.audit(deed.action, deed.target, before=deed.before, after=deed.after)
        self._forget(before, changed, tx)
        return saved

    def _forget(self, before: Project, changed: Project, tx: Context) -> None:
        """Who was in it, and who is: once it is committed, or nobody knows whether it is."""
        people = {member.user_id for project in (before, changed) for member in project.members}
        tx.after_attempt(lambda: self._memberships.project_changed(changed.id, people=people))

    # Members

    @handles(ListMembers, transactional=True)
    async def list_members(self, message: ListMembers, context: Context) -> MembersView:
        project = await self._store.get(message.project_id, context.user_id, session=context.session)
        people = await context.ask(GetNames(user_ids=tuple(member.user_id for member in project.members)))
        names = {person.user_id: person for person in people}
        return MembersView(tuple(_member_view(member, names.get(member.user_id)) for member in project.members))

    @handles(AddMember, key="project_id", transactional=True)
    async def add_member(self, message: AddMember, context: Context) -> MemberView:
        await self._manage(message.project_id, lambda project: project, context)  # who may not, learns of no handles
        person = await _person(message.handle, context)
        await self._check_room(person.id, context)
        member = Member(person.id, normal_roles(message.roles), context.user_id, context.now())
        await self._manage(message.project_id, lambda project: with_member(project, member), context)
        return _member_view(member, PersonName(person.id, person.handle, person.display_name))

    @handles(SetMemberRoles, key="project_id", transactional=True)
    async def set_roles(self, message: SetMemberRoles, context: Context) -> MemberView:
        changed = await self._manage(
            message.project_id, lambda project: with_roles(project, message.user_id, message.roles), context
        )
        people = await context.ask(GetNames(user_ids=(message.user_id,)))
        return _member_view(changed.member(message.user_id), people[0] if people else None)

    @handles(RemoveMember, key="project_id", transactional=True)
    async def remove_member(self, message: RemoveMember, context: Context) -> None:
        async def work(tx: Context) -> None:
            project = await self._store.get(message.project_id, tx.user_id, session=tx.session)
            if message.user_id != tx.user_id:
                access(project, tx.user_id, ProjectPermission.MANAGE)
            await self._save(project, without_member(project, message.user_id), tx)

        await context.transaction(work)

    # The end of an account

    @handles(HasSharedProjects, transactional=True)
    async def has_shared(self, message: HasSharedProjects, context: Context) -> bool:
        projects = await self._store.list_of(message.user_id, session=context.session)
        return any(len(project.members) > 1 and is_last_owner(project, message.user_id) for project in projects)

    @handles(LeaveProjects)
    async def leave(self, message: LeaveProjects, context: Context) -> None:
        for project in await self._store.list_of(message.user_id, session=None):
            await context.transaction(partial(self._leave, project.id, message.user_id))

    async def _leave(self, project_id: str, user_id: str, tx: Context) -> None:
        project = await self._store.find(project_id, session=tx.session)
        if project is None:
            return
        left = abandoned(project, user_id)
        if not left.members and project.personal_of is None:
            await self._store.mark_left(project_id, user_id, session=tx.session)
        saved = await self._store.save(left, now=tx.now(), session=tx.session)
        for deed in deeds(project, saved, user_id):
            await tx.audit(deed.action, deed.target, before=deed.before, after=deed.after)
        self._forget(project, saved, tx)

    # For other features

    @handles(EnsurePersonalProject, transactional=True)
    async def ensure_personal(self, message: EnsurePersonalProject, context: Context) -> str:
        async def work(tx: Context) -> str:
            project_id, made = await self._store.ensure_personal(message.user_id, now=tx.now(), session=tx.session)
            if made:
                tx.after_attempt(lambda: self._memberships.lists.forget((message.user_id,)))
            return project_id

        return await context.transaction(work)

    @handles(AuthoriseInProject, transactional=True)
    async def authorise(self, message: AuthoriseInProject, context: Context) -> ProjectAccess:
        if context.session is not None or message.permission is not ProjectPermission.READ:
            project = await self._store.get(message.project_id, message.user_id, session=context.session)
            return access(project, message.user_id, message.permission)
        known = self._memberships.find(message.project_id, message.user_id, message.permission)
        if known is not None:
            return known
        begun = self._memberships.begin()
        project = await self._store.get(message.project_id, message.user_id)
        self._memberships.keep(begun, project)
        return access(project, message.user_id, message.permission)

    @handles(ListReaders, transactional=True)
    async def list_readers(self, message: ListReaders, context: Context) -> frozenset[str]:
        project = await self._store.find(message.project_id, session=context.session)
        return frozenset() if project is None else readers(project)

    @handles(ListProjectsOf, transactional=True)
    async def list_of(self, message: ListProjectsOf, context: Context) -> tuple[str, ...]:
        lists, limit = self._memberships.lists, MAX_PROJECTS * 2
        if context.session is not None or not message.remembered:
            return await self._store.list_ids(message.user_id, limit=limit, session=context.session)
        if (known := lists.find(message.user_id)) is not None:
            return known
        begun = lists.begin()
        found = await self._store.list_ids(message.user_id, limit=limit, session=None)
        lists.keep(begun, message.user_id, found)
        return found

    # For search

    @handles(ReadProjectDocuments)
    async def read_documents(self, message: ReadProjectDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return tuple(search_document(project) for project in await self._store.list_these(message.ids))

    @handles(ScanProjectDocuments)
    async def scan_documents(self, message: ScanProjectDocuments, context: Context) -> DocumentPage:
        projects = await self._store.scan(message.after, message.limit)
        documents = tuple(search_document(project) for project in projects)
        return DocumentPage(documents, projects[-1].id if len(projects) == message.limit else None)


def _member_view(member: Member, person: PersonName | None) -> MemberView:
    return MemberView(
        user_id=member.user_id,
        handle=person.handle if person is not None else None,
        display_name=person.display_name if person is not None else None,
        roles=member.roles,
        added_by=member.added_by,
        added_at=member.added_at,
    )


async def _person(handle: str, context: Context) -> PublicProfileView:
    """Raises `Invalid`: the project is there, who is to join it is not."""
    try:
        return await context.ask(GetPublicProfile(handle=handle))
    except NotFound as error:
        raise Invalid(errors=(FieldError("Nobody has this handle", "unknown_handle", pointer="/handle"),)) from error
