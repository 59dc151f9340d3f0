"""Projects on a real MongoDB: who may do what, the last owner, and what races come to."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import Category, CreateListing
from promptforge.actors.projects.domain import PERMISSIONS
from promptforge.actors.projects.messages import (
    AddMember,
    ArchiveProject,
    AuthoriseInProject,
    CreateProject,
    EnsurePersonalProject,
    GetProject,
    ListMembers,
    ListProjects,
    ProjectPermission,
    ProjectRole,
    ProjectView,
    RemoveMember,
    RestoreProject,
    SetMemberRoles,
    UpdateProject,
)
from promptforge.actors.prompts.drafts.messages import DiscardDraft, GetDraft, PublishDraft, SaveDraft
from promptforge.actors.prompts.labels.messages import ListLabels, MoveLabel, RemoveLabel
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetVersion,
    ListPrompts,
    ListVersions,
    RestorePrompt,
    UpdatePrompt,
)
from promptforge.actors.prompts.rendering.messages import RenderPrompt
from promptforge.actors.prompts.serving.messages import GetCompiledPrompt
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.messages import Message
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def named(branches: Branches, name: str) -> tuple[Context, Context]:
    """A person with a handle, in both processes."""
    here, there = await branches.person(name, Role.SELLER)
    await here.ask(UpdateProfile(handle=f"the-{name}"))
    return here, there


async def member(branches: Branches, owner: Context, project: ProjectView, name: str, *roles: ProjectRole) -> Context:
    person, _ = await named(branches, name)
    await owner.ask(AddMember(project_id=project.id, handle=f"the-{name}", roles=roles))
    return person


async def test_a_personal_project_is_made_once_however_many_ask_for_it(branches: Branches) -> None:
    here, there = await branches.person("carla")
    outcomes = await all_at_once(
        [(here if number % 2 else there, CreatePrompt(name=f"Prompt {number}")) for number in range(12)]
    )
    assert outcomes == {"done": 12}
    (project,) = (await here.ask(ListProjects())).items
    assert (project.personal, project.roles, project.member_count) == (True, (ProjectRole.OWNER,), 1)
    assert {one.project_id for one in (await here.ask(ListPrompts())).items} == {project.id}
    system = branches.there.process.context()
    assert await system.ask(EnsurePersonalProject(user_id=here.user_id)) == project.id
    assert await branches.count("projects") == 1


async def test_a_personal_project_stays_its_owners_alone(branches: Branches) -> None:
    carla, _ = await named(branches, "carla")
    await named(branches, "bruno")
    prompt = await carla.ask(CreatePrompt(name="Mine"))
    personal = prompt.project_id
    add = AddMember(project_id=personal, handle="the-bruno", roles=(ProjectRole.VIEWER,))
    for message in (add, ArchiveProject(project_id=personal), RemoveMember(project_id=personal, user_id=carla.user_id)):
        assert await raised(carla, message) == "personal_project"


async def test_every_operation_asks_for_the_permission_that_the_table_names(branches: Branches) -> None:
    olga, _ = await named(branches, "olga")
    project = await olga.ask(CreateProject(name="Newsroom"))
    people = {ProjectRole.OWNER: olga}
    for role in (ProjectRole.EDITOR, ProjectRole.DEPLOYER, ProjectRole.VIEWER):
        people[role] = await member(branches, olga, project, role.value, role)
    stranger, _ = await named(branches, "stranger")
    first = FirstVersion(content="Say {{word}}")
    prompt = await olga.ask(CreatePrompt(name="One", project_id=project.id, first_version=first))
    idle = await olga.ask(CreatePrompt(name="Idle", project_id=project.id))
    await olga.ask(MoveLabel(prompt_id=prompt.id, label="staging", version=1))
    await olga.ask(MoveLabel(prompt_id=prompt.id, label="production", version=1))
    p, permission = prompt.id, ProjectPermission
    listing = CreateListing(
        prompt_id=p, version=1, title="T", summary="S", description="D", category=Category.WRITING, price="1"
    )
    needs: list[tuple[Message[object], ProjectPermission]] = [
        (GetProject(project_id=project.id), permission.READ),
        (ListMembers(project_id=project.id), permission.READ),
        (GetPrompt(prompt_id=p), permission.READ),
        (GetVersion(prompt_id=p, version=1), permission.READ),
        (ListVersions(prompt_id=p), permission.READ),
        (ListPrompts(project_id=project.id), permission.READ),
        (ListLabels(prompt_id=p), permission.READ),
        (GetCompiledPrompt(prompt_id=p), permission.READ),
        (RenderPrompt(prompt_id=p, variables={"word": "hi"}), permission.READ),
        (UpdatePrompt(prompt_id=p, description="x"), permission.WRITE),
        (CreateVersion(prompt_id=p, content="Say {{word}}"), permission.WRITE),
        (SaveDraft(prompt_id=p, content="x"), permission.WRITE),
        (DiscardDraft(prompt_id=p), permission.WRITE),
        (ArchivePrompt(prompt_id=idle.id), permission.WRITE),
        (RestorePrompt(prompt_id=idle.id), permission.WRITE),
        (MoveLabel(prompt_id=p, label="staging", version=1), permission.LABEL),
        (MoveLabel(prompt_id=p, label="production", version=1), permission.DEPLOY),
        (listing, permission.SELL),
        (UpdateProject(project_id=project.id, description="x"), permission.MANAGE),
        (AddMember(project_id=project.id, handle="the-olga", roles=(ProjectRole.VIEWER,)), permission.MANAGE),
    ]
    for message, needed in needs:
        for role, person in people.items():
            outcome = await raised(person, message)
            allowed = needed in PERMISSIONS[role]
            assert (outcome in {"done", "already_member"}) is allowed, f"{role}: {message} → {outcome}"
            assert allowed or outcome == "project_role_missing", f"{role}: {message} → {outcome}"
        assert await raised(stranger, message) == "not_found", message


async def test_who_has_two_roles_may_do_what_either_may(branches: Branches) -> None:
    olga, _ = await named(branches, "olga")
    project = await olga.ask(CreateProject(name="Newsroom"))
    both = await member(branches, olga, project, "both", ProjectRole.DEPLOYER, ProjectRole.EDITOR)
    prompt = await both.ask(CreatePrompt(name="One", project_id=project.id, first_version=FirstVersion(content="a")))
    await both.ask(MoveLabel(prompt_id=prompt.id, label="production", version=1))
    await olga.ask(SetMemberRoles(project_id=project.id, user_id=both.user_id, roles=(ProjectRole.EDITOR,)))
    assert await raised(both, RemoveLabel(prompt_id=prompt.id, label="production")) == "project_role_missing"
    await olga.ask(UpdateProject(project_id=project.id, protected_labels=("live",)))
    assert await raised(both, RemoveLabel(prompt_id=prompt.id, label="production")) == "done"
    assert await raised(both, MoveLabel(prompt_id=prompt.id, label="live", version=1)) == "project_role_missing"


async def test_of_two_owners_who_leave_at_once_one_stays(branches: Branches) -> None:
    for number in range(6):
        ann, _ = await named(branches, f"ann{number}")
        project = await ann.ask(CreateProject(name="Shared"))
        bea = await member(branches, ann, project, f"bea{number}", ProjectRole.OWNER)
        _, bea_there = await branches.person(f"bea{number}")
        outcomes = await all_at_once(
            [
                (ann, RemoveMember(project_id=project.id, user_id=ann.user_id)),
                (bea_there, RemoveMember(project_id=project.id, user_id=bea.user_id)),
            ]
        )
        assert outcomes == {"done": 1, "last_owner": 1}
        row = await branches.mongo.collection("projects").find_one({"_id": project.id})
        assert row is not None
        assert len(row["members"]) == 1


async def test_two_owners_who_demote_each_other_at_once_leave_one(branches: Branches) -> None:
    for number in range(6):
        ann, _ = await named(branches, f"ann{number}")
        project = await ann.ask(CreateProject(name="Shared"))
        bea = await member(branches, ann, project, f"bea{number}", ProjectRole.OWNER)
        _, bea_there = await branches.person(f"bea{number}")
        viewer = (ProjectRole.VIEWER,)
        outcomes = await all_at_once(
            [
                (ann, SetMemberRoles(project_id=project.id, user_id=bea.user_id, roles=viewer)),
                (bea_there, SetMemberRoles(project_id=project.id, user_id=ann.user_id, roles=viewer)),
            ]
        )
        assert outcomes["done"] == 1, outcomes
        assert set(outcomes) == {"done", "project_role_missing"}


async def test_members_come_and_go(branches: Branches) -> None:
    olga, there = await named(branches, "olga")
    project = await olga.ask(CreateProject(name="Newsroom", protected_labels=("live", "live")))
    vera = await member(branches, olga, project, "vera", ProjectRole.VIEWER)
    assert project.protected_labels == ("live",)
    seen = await vera.ask(ListMembers(project_id=project.id))
    assert [one.handle for one in seen.items] == ["the-olga", "the-vera"]
    again = AddMember(project_id=project.id, handle="The-Vera", roles=(ProjectRole.EDITOR,))
    assert await all_at_once([(olga, again), (there, again)]) == {"already_member": 2}
    nobody = AddMember(project_id=project.id, handle="nobody-here", roles=(ProjectRole.EDITOR,))
    assert await raised(olga, nobody) == "invalid_request"
    assert await raised(olga, RemoveMember(project_id=project.id, user_id="usr_none")) == "not_found"
    assert await raised(vera, RemoveMember(project_id=project.id, user_id=olga.user_id)) == "project_role_missing"
    await vera.ask(RemoveMember(project_id=project.id, user_id=vera.user_id))
    assert await raised(vera, GetProject(project_id=project.id)) == "not_found"
    assert [one.id for one in (await vera.ask(ListProjects())).items] == []


async def test_an_archived_project_is_read_and_served_but_not_changed(branches: Branches) -> None:
    olga, _ = await named(branches, "olga")
    project = await olga.ask(CreateProject(name="Old"))
    first = FirstVersion(content="Say {{word}}")
    prompt = await olga.ask(CreatePrompt(name="One", project_id=project.id, first_version=first))
    await olga.ask(MoveLabel(prompt_id=prompt.id, label="production", version=1))
    await olga.ask(SaveDraft(prompt_id=prompt.id, content="b"))
    archived = await olga.ask(ArchiveProject(project_id=project.id))
    assert await olga.ask(ArchiveProject(project_id=project.id)) == archived
    for message in (
        CreatePrompt(name="Two", project_id=project.id),
        UpdatePrompt(prompt_id=prompt.id, name="Two"),
        CreateVersion(prompt_id=prompt.id, content="b"),
        PublishDraft(prompt_id=prompt.id),
        MoveLabel(prompt_id=prompt.id, label="production", version=1),
        ArchivePrompt(prompt_id=prompt.id),
    ):
        assert await raised(olga, message) == "project_archived"
    for read in (GetCompiledPrompt(prompt_id=prompt.id), GetDraft(prompt_id=prompt.id)):
        assert await raised(olga, read) == "done"
    assert (await olga.ask(ListPrompts())).items == ()
    assert [one.id for one in (await olga.ask(ListProjects(archived=True))).items] == [project.id]
    await olga.ask(RestoreProject(project_id=project.id))
    assert await raised(olga, CreateVersion(prompt_id=prompt.id, content="b")) == "done"


async def test_what_other_features_ask_is_the_services_own(branches: Branches) -> None:
    olga, _ = await named(branches, "olga")
    project = await olga.ask(CreateProject(name="Newsroom"))
    ask = AuthoriseInProject(project_id=project.id, user_id=olga.user_id, permission=ProjectPermission.MANAGE)
    assert await raised(olga, ask) == "forbidden"
    access = await branches.here.process.context().ask(ask)
    assert (access.permissions, access.protected_labels) == (frozenset(ProjectPermission), frozenset({"production"}))
