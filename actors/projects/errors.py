"""What a project refuses."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden


class ProjectRoleMissing(Forbidden):
    code = "project_role_missing"
    title = "Your role in this project does not allow this"


class ProjectArchived(Conflict):
    code = "project_archived"
    title = "The project is archived: restore it first"


class PersonalProject(Conflict):
    code = "personal_project"
    title = "A personal project is its owner's alone, and stays"


class AlreadyMember(Conflict):
    code = "already_member"
    title = "This person is a member of the project already"


class LastOwner(Conflict):
    code = "last_owner"
    title = "A project has at least one owner: make somebody else one first"


class TooManyMembers(Conflict):
    code = "too_many_members"
    title = "The project has as many members as it may have"


class TooManyProjects(Conflict):
    code = "too_many_projects"
    title = "Nobody may be in that many projects"
