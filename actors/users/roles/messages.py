"""Giving and taking away roles, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.users.messages import UserId
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

Roles = Annotated[tuple[Role, ...], Len(0, len(Role)), Field(examples=[["seller", "moderator"]])]
Reason = Annotated[str, Len(3, 1000), TEXT, Field(examples=["Joins the moderators on Monday"])]


class RoleReason(StrEnum):
    """Why; `other` where the reason alone says it."""

    AGREED = "agreed"
    TASK_BEGINS = "task_begins"
    TASK_ENDS = "task_ends"
    MISUSED = "misused"
    PRECAUTION = "precaution"
    MISTAKEN = "mistaken"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RoleChangeView:
    """One decision. `by` is the administrator, null for the command line. The person is shown the reason.

    `reason_code` is null for what was decided before there were codes.
    """

    id: str
    user_id: str
    before: tuple[Role, ...]
    after: tuple[Role, ...]
    by: str | None
    reason: str
    created_at: datetime
    reason_code: RoleReason | None = None


@dataclass(frozen=True, slots=True)
class RolesView:
    """What somebody may do. `decided` is null where nobody decided yet: the roles are then those of their sign-in."""

    user_id: str
    roles: tuple[Role, ...]
    decided: RoleChangeView | None


@requires(Role.ADMIN)
class GetRoles(Query[RolesView]):
    """Read somebody's roles, and who decided them."""

    user_id: UserId


@requires(Role.ADMIN)
class SetRoles(Command[RolesView]):
    """Give somebody these roles and no others; `user`, which everybody has, need not be named. They are told why.

    `expected` are the roles that you have seen: where somebody else was faster, nothing changes and you are told so
    (409 `roles_changed`, with the `roles` of now). Nobody changes their own (409 `not_oneself`), so there is always an
    administrator left. From then on what Firebase says of this person's roles counts no more, and is told from here. It
    counts at once where money moves and for commands of staff, and within a minute everywhere.
    What they have earned is paid out all the same, whatever the reason: to stop that, suspend the account.
    """

    user_id: UserId
    roles: Roles
    expected: Roles
    reason: Reason
    reason_code: RoleReason = RoleReason.OTHER


@requires(Role.ADMIN)
class ListRoleChanges(Query[Page[RoleChangeView]]):
    """List what was decided about somebody's roles, newest first."""

    user_id: UserId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
class AssignRoles(Command[RolesView]):
    """Give somebody these roles and no others, as whoever runs the service: there may be no administrator yet."""

    user_id: UserId
    roles: Roles
    reason: Reason
    reason_code: RoleReason = RoleReason.OTHER


@internal
@job(timeout_seconds=120, max_attempts=20)
class MirrorRoles(Command[None]):
    """Tell Firebase which roles somebody has now, for who reads them from their sign-in's claims.

    It reads them when it runs, and so may run late, twice, and beside another one.
    """

    user_id: UserId
