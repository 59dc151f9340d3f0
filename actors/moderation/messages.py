"""Moderation: cases that moderators decide, each with a reason that the seller gets to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Len
from pydantic import Field

from promptforge.actors.marketplace.messages import Decision, ListingView
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

CaseId = Annotated[str, Len(1, 64)]
ReasonCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{2,49}$", examples=["meets_guidelines"])]
Note = Annotated[str, Len(1, 2000), TEXT]


class CaseKind(StrEnum):
    """What a case is about."""

    REVIEW = "review"
    PROPOSED_CHANGE = "proposed_change"
    REPORT = "report"
    APPEAL = "appeal"
    REFUND = "refund"


class CaseState(StrEnum):
    OPEN = "open"
    DECIDED = "decided"
    OBSOLETE = "obsolete"
    """The listing moved on before anyone decided."""


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case in the queue. `decided_by` and `internal_note` are for moderators only, as the whole view is."""

    id: str
    state: CaseState
    listing_id: str
    revision: int
    seller_id: str
    title: str
    decision: Decision | None
    reason_code: str | None
    public_note: str | None
    internal_note: str | None
    decided_by: str | None
    decided_at: datetime | None
    created_at: datetime
    kind: CaseKind = CaseKind.REVIEW
    reason: str | None = None
    purchase_id: str | None = None


@dataclass(frozen=True, slots=True)
class CaseDetailView:
    """A case with the listing as it is now."""

    case: CaseView
    listing: ListingView


@internal
class OpenCase(Command[None]):
    """Open a case about a listing as it is in one revision; once, however often it is sent.

    `reason`: the words of whoever wants it. `purchase_id`: of which purchase a refund is asked.
    """

    listing_id: str
    revision: Annotated[int, Ge(1)]
    seller_id: str
    title: str
    kind: CaseKind = CaseKind.REVIEW
    reason: str | None = None
    purchase_id: str | None = None


@requires(Role.MODERATOR, scope="moderation:read")
class ListCases(Query[Page[CaseView]]):
    """List cases, newest first; the open ones unless another state is asked for."""

    state: CaseState = CaseState.OPEN
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.MODERATOR, scope="moderation:read")
class GetCase(Query[CaseDetailView]):
    """Read a case and its listing."""

    case_id: CaseId


@requires(Role.MODERATOR, scope="moderation:write")
class DecideCase(Command[CaseView]):
    """Decide a case; the seller is told the decision, the reason and the public note.

    409 `already_decided` where another moderator was faster, `case_obsolete` where the listing has moved on; 403
    `own_case` for one's own listing.
    """

    case_id: CaseId
    decision: Decision
    reason_code: ReasonCode
    public_note: Note
    internal_note: Note | None = None
