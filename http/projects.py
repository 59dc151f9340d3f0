"""Projects and their members."""

from __future__ import annotations

from promptforge.actors.projects.errors import (
    AlreadyMember,
    LastOwner,
    PersonalProject,
    ProjectRoleMissing,
    TooManyMembers,
    TooManyProjects,
)
from promptforge.actors.projects.messages import (
    AddMember,
    ArchiveProject,
    CreateProject,
    GetProject,
    ListMembers,
    ListProjects,
    RemoveMember,
    RestoreProject,
    SetMemberRoles,
    UpdateProject,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import delete, get, patch, post, put

routes = [
    get("/projects", ListProjects),
    post("/projects", CreateProject, status=201, errors=(TooManyProjects,)),
    get("/projects/{project_id}", GetProject),
    patch("/projects/{project_id}", UpdateProject, errors=(ProjectRoleMissing,)),
    delete("/projects/{project_id}", ArchiveProject, errors=(ProjectRoleMissing, PersonalProject)),
    post("/projects/{project_id}/restore", RestoreProject, errors=(ProjectRoleMissing,)),
    get("/projects/{project_id}/members", ListMembers, name="listProjectMembers"),
    post(
        "/projects/{project_id}/members",
        AddMember,
        status=201,
        name="addProjectMember",
        errors=(NotFound, ProjectRoleMissing, PersonalProject, AlreadyMember, TooManyMembers, TooManyProjects),
    ),
    put(
        "/projects/{project_id}/members/{user_id}",
        SetMemberRoles,
        name="setProjectMemberRoles",
        errors=(ProjectRoleMissing, LastOwner),
    ),
    delete(
        "/projects/{project_id}/members/{user_id}",
        RemoveMember,
        name="removeProjectMember",
        errors=(ProjectRoleMissing, PersonalProject, LastOwner),
    ),
]
