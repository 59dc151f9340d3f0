"""Memberships in memory: bounded, forgetful in time, and silent while nobody would hear of a change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from promptforge.actors.projects.domain import Member, Project, deeds, new_project, with_member, with_roles
from promptforge.actors.projects.memberships import Memberships
from promptforge.actors.projects.messages import ProjectPermission, ProjectRole
from promptforge.core.deeds import Deed

NOW = datetime(2026, 11, 1, tzinfo=UTC)
READ = ProjectPermission.READ


def project(name: str, *viewers: str) -> Project:
    made = new_project(name, name, "usr_owner", now=NOW, description="long")
    for user_id in viewers:
        made = with_member(made, Member(user_id, (ProjectRole.VIEWER,), "usr_owner", NOW))
    return made


def keep(memberships: Memberships, kept: Project) -> None:
    memberships.keep(memberships.begin(), kept)


def test_it_answers_members_what_they_may_and_refuses_nobody() -> None:
    memberships = Memberships(lambda: True)
    keep(memberships, project("prj_a", "usr_a"))
    known = memberships.find("prj_a", "usr_a", READ)
    assert known is not None
    assert known.permissions == {READ}
    assert memberships.find("prj_a", "usr_b", READ) is None, "who is not known may have come a moment ago"
    assert memberships.find("prj_a", "usr_a", ProjectPermission.WRITE) is None
    assert memberships.find("prj_b", "usr_a", READ) is None


def test_it_forgets_what_changed_and_tells() -> None:
    told: list[str] = []
    memberships = Memberships(lambda: True, forgotten=told.append)
    keep(memberships, project("prj_a", "usr_a"))
    keep(memberships, project("prj_b", "usr_a"))
    memberships.project_changed("prj_a")
    assert memberships.find("prj_a", "usr_a", READ) is None
    assert memberships.find("prj_b", "usr_a", READ) is not None
    assert told == ["prj_a"]
    memberships.clear()
    assert memberships.size == 0


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    """The race of a slow read with an eviction: the read may be older than the change."""
    memberships = Memberships(lambda: True)
    changes: tuple[Callable[[], None], ...] = (lambda: memberships.project_changed("prj_a"), memberships.clear)
    for change in changes:
        begun = memberships.begin()
        change()
        memberships.keep(begun, project("prj_a", "usr_a"))
        assert memberships.find("prj_a", "usr_a", READ) is None


def test_it_is_silent_while_changes_are_not_heard_of() -> None:
    heard = True
    memberships = Memberships(lambda: heard)
    keep(memberships, project("prj_a", "usr_a"))
    heard = False
    assert memberships.find("prj_a", "usr_a", READ) is None
    keep(memberships, project("prj_b", "usr_a"))
    heard = True
    assert memberships.find("prj_b", "usr_a", READ) is None
    assert memberships.find("prj_a", "usr_a", READ) is not None


def test_it_is_bounded_by_members() -> None:
    memberships = Memberships(lambda: True, most=30)
    for number in range(50):
        keep(memberships, project(f"prj_{number}", *(f"usr_{viewer}" for viewer in range(number % 7))))
        assert memberships.size <= 30
    assert memberships.find("prj_49", "usr_owner", READ) is not None
    keep(memberships, project("prj_big", *(f"usr_{viewer}" for viewer in range(40))))
    assert memberships.find("prj_big", "usr_owner", READ) is None, "what does not fit is not kept"


def test_the_audit_log_is_told_who_came_changed_and_went() -> None:
    before = project("prj_a", "usr_a", "usr_b")
    after = with_roles(before, "usr_a", (ProjectRole.OWNER,))
    after = replace(after, members=tuple(member for member in after.members if member.user_id != "usr_b"))
    after = with_member(after, Member("usr_c", (ProjectRole.EDITOR, ProjectRole.DEPLOYER), "usr_owner", NOW))
    a, c = {"user_id": "usr_a"}, {"user_id": "usr_c"}
    assert deeds(before, after, "usr_owner") == (
        Deed("member.roles_changed", "prj_a", {**a, "roles": ["viewer"]}, {**a, "roles": ["owner"]}),
        Deed("member.removed", "prj_a", {"user_id": "usr_b", "roles": ["viewer"]}, None),
        Deed("member.added", "prj_a", None, {**c, "roles": ["editor", "deployer"]}),
    )
    assert [deed.action for deed in deeds(before, after, "usr_b")][1] == "member.left"
    assert deeds(before, replace(before, name="Other"), "usr_owner") == ()
