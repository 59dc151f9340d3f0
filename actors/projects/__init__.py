"""Projects: where prompts live, and who may do what in them."""

from promptforge.actors.projects.actor import ProjectsActor
from promptforge.actors.projects.memberships import Memberships
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

__all__ = [
    "AddMember",
    "ArchiveProject",
    "CreateProject",
    "GetProject",
    "ListMembers",
    "ListProjects",
    "Memberships",
    "ProjectsActor",
    "RemoveMember",
    "RestoreProject",
    "SetMemberRoles",
    "UpdateProject",
]
