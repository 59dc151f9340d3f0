"""People as administrators see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.users.messages import UserId
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

Reason = Annotated[str, Len(3, 1000), TEXT, Field(examples=["Sells what others have written, again and again"])]


@dataclass(frozen=True, slots=True)
class SuspensionView:
    """`by` is the administrator. The person is shown the reason."""

    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountView:
    """Somebody's account, as administrators see it."""

    id: str
    email: str | None
    handle: str | None
    display_name: str | None
    roles: tuple[Role, ...]
    suspended: bool
    suspension: SuspensionView | None
    closed_at: datetime | None
    created_at: datetime


class AccountEvent(StrEnum):
    SUSPENDED = "suspended"
    REINSTATED = "reinstated"


@dataclass(frozen=True, slots=True)
class AccountEventView:
    """What an administrator (`by`) decided about an account, and what its owner was told as the reason."""

    event: AccountEvent
    reason: str
    by: str
    at: datetime


@requires(Role.ADMIN)
class ListAccounts(Query[Page[AccountView]]):
    """List people, newest first: all, or those with an email address, with a handle that begins so, or suspended."""

    email: Annotated[str, Len(1, 320), Field(examples=["ada@example.com"])] | None = None
    handle: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,30}$", examples=["ada"])] | None = None
    suspended: bool | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.ADMIN)
class GetAccount(Query[AccountView]):
    """Read somebody's account."""

    user_id: UserId


@requires(Role.ADMIN)
class ListAccountEvents(Query[Page[AccountEventView]]):
    """List what was decided about somebody's account, newest first: each suspension and its end, with the reason."""

    user_id: UserId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.ADMIN)
class SuspendAccount(Command[AccountView]):
    """Keep somebody from changing anything, buying, selling and being paid; they are told why.

    It counts at once where money moves, and within a minute everywhere: requests, API keys, jobs, and webhooks. They
    may still look at what is their own, ask for their data, and leave. 409 `not_oneself`.
    """

    user_id: UserId
    reason: Reason


@requires(Role.ADMIN)
class ReinstateAccount(Command[AccountView]):
    """End a suspension; they are told. Nothing changes where there is none."""

    user_id: UserId
    reason: Reason
