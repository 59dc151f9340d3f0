"""Labels: `production` points to version 3, until somebody moves it and says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.projects.messages import LabelName
from promptforge.actors.prompts.messages import PromptId, VersionNumber
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import TEXT

MoveReason = Annotated[str, Len(1, 500), TEXT, Field(examples=["Answers in half the time"])]


@dataclass(frozen=True, slots=True)
class LabelView:
    """Where a label points, and the move that made it so."""

    prompt_id: str
    label: str
    version: int
    reason: str | None
    moved_by: str
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class LabelsView:
    """A prompt's labels, in the order of the alphabet. `latest` is the newest version: derived, and 0 before it."""

    items: tuple[LabelView, ...]
    latest: int


@dataclass(frozen=True, slots=True)
class LabelMoveView:
    """One move. `from_version` is null where the label was new, `to_version` where it was removed."""

    id: str
    label: str
    from_version: int | None
    to_version: int | None
    reason: str | None
    moved_by: str
    created_at: datetime


@requires(scope="prompts:read")
class ListLabels(Query[LabelsView]):
    """List a prompt's labels."""

    prompt_id: PromptId


@requires(scope="prompts:read")
class GetLabel(Query[LabelView]):
    """Read where a label points."""

    prompt_id: PromptId
    label: LabelName


@requires(scope="prompts:deploy")
class MoveLabel(Command[LabelView]):
    """Point a label to a version. A label that is not there yet is made.

    Moving a label that the project protects needs the role `deployer` or `owner` (403 `project_role_missing`). Where
    the label points there already, nothing happens. With `If-Match` it is moved from where you have seen it only.
    """

    prompt_id: PromptId
    label: LabelName
    version: VersionNumber
    reason: MoveReason | None = None


@requires(scope="prompts:deploy")
class RemoveLabel(Command[None]):
    """Remove a label; 409 `has_dependants` while another prompt includes this one by it."""

    prompt_id: PromptId
    label: LabelName


@requires(scope="prompts:read")
class ListLabelMoves(Query[Page[LabelMoveView]]):
    """List the moves of a prompt's labels, or of one of them, newest first."""

    prompt_id: PromptId
    label: LabelName | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None
