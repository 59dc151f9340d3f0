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


Words = Annotated[str, Len(20, 2000), TEXT, Field(examples=["The prompts are mine: here is where I published them."])]


class AccountReason(StrEnum):
    """Why somebody is suspended, or not any more; `other` where the note alone says it.

    `resolved` and `mistaken` are for the end of a suspension, and `unchanged` for what upholds it after an appeal.
    """

    FRAUD = "fraud"
    ABUSE = "abuse"
    INFRINGEMENT = "infringement"
    SPAM = "spam"
    EVASION = "evasion"
    TAKEN_OVER = "taken_over"
    UNDER_REVIEW = "under_review"
    LEGAL_ORDER = "legal_order"
    RESOLVED = "resolved"
    MISTAKEN = "mistaken"
    UNCHANGED = "unchanged"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SuspensionView:
    """`by` is the administrator. The person is shown the reason, and not who it was.

    `appeal` is what they say against it, while it waits; `upheld_at` when that was decided, for good.
    """

    reason: str
    by: str
    at: datetime
    reason_code: AccountReason = AccountReason.OTHER
    appeal_until: datetime | None = None
    appeal: str | None = None
    appealed_at: datetime | None = None
    upheld_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MySuspensionView:
    """Why your account is suspended: the reason's words, what was written for you (`note`), and what you can do.

    It can be appealed once, until `appeal_until` (null: it was, or there is no limit); `final`: the appeal was heard.
    """

    reason_code: AccountReason
    words: str
    note: str
    next_step: str
    at: datetime
    appeal_until: datetime | None
    appealed_at: datetime | None
    final: bool


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
    APPEALED = "appealed"
    UPHELD = "upheld"
    REINSTATED = "reinstated"


@dataclass(frozen=True, slots=True)
class AccountEventView:
    """What an administrator (`by`) decided about an account, and what its owner was told as the reason.

    Of an appeal `by` is the owner, and `reason` what they say. `reason_code` is null from before there were codes.
    """

    event: AccountEvent
    reason: str
    reason_code: AccountReason | None
    by: str
    at: datetime


@requires(Role.ADMIN)
class ListAccounts(Query[Page[AccountView]]):
    """List people, newest first: all, or those with an email address, with a handle that begins so, or suspended.

    `appealed`: those whose appeal against it waits for a decision, or all others.
    """

    email: Annotated[str, Len(1, 320), Field(examples=["ada@example.com"])] | None = None
    handle: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,30}$", examples=["ada"])] | None = None
    suspended: bool | None = None
    appealed: bool | None = None
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
    may still look at what is their own, ask for their data, appeal, and leave. For another reason it is another
    decision, with an appeal of its own; 409 `appeal_waits` while the one before it is appealed. The same again changes
    nothing. 409 `not_oneself`; 404 for an account that is closed.
    """

    user_id: UserId
    reason: Reason
    reason_code: AccountReason = AccountReason.OTHER


@requires(Role.ADMIN)
class ReinstateAccount(Command[AccountView]):
    """End a suspension, also in answer to an appeal; they are told. Nothing changes where there is none."""

    user_id: UserId
    reason: Reason
    reason_code: AccountReason = AccountReason.OTHER


@requires(Role.ADMIN)
class UpholdSuspension(Command[AccountView]):
    """Answer an appeal: the suspension stays, for good, and they are told why.

    409 `nothing_to_appeal` where none waits; 403 `own_suspension` for who suspended, or an account linked to theirs,
    where there is another administrator.
    """

    user_id: UserId
    reason: Reason
    reason_code: AccountReason = AccountReason.UNCHANGED


# The people themselves


@requires()
class GetMySuspension(Query[MySuspensionView]):
    """Read why your account is suspended, and what you can do; 404 where it is not."""


@requires(while_suspended=True, fresh=True)
class AppealMySuspension(Command[MySuspensionView]):
    """Appeal the suspension of your account, once, in your own words: another administrator decides.

    409 `already_appealed`, `nothing_to_appeal` where that was decided, and `appeal_too_late` after its `appeal_until`;
    404 where the account is not suspended.
    """

    words: Words
