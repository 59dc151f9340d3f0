"""The difference of two versions, in parts that a frontend can show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import Field

from promptforge.actors.prompts.messages import ChatRole, PromptId
from promptforge.core.messages import Query, requires

_Number = Annotated[int, Ge(1), Le(1_000_000)]


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class MessageDiff:
    """A message of a chat that is not the same; an index is null where the message is not in that version."""

    change: Change
    from_index: int | None
    to_index: int | None
    from_role: ChatRole | None
    to_role: ChatRole | None
    unified: str


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """A setting, tool, variable or the response schema that is not the same, as it was and as it is."""

    name: str
    change: Change
    before: Any  # Any: JSON
    after: Any  # Any: JSON


@dataclass(frozen=True, slots=True)
class VersionDiffView:
    """What differs. `unified` is the whole content as a unified diff; of a chat, `messages` tell it message by message.

    All parts are empty where the two say the same.
    """

    prompt_id: str
    from_version: int
    to_version: int
    unified: str
    messages: tuple[MessageDiff, ...]
    settings: tuple[FieldDiff, ...]
    tools: tuple[FieldDiff, ...]
    variables: tuple[FieldDiff, ...]
    response_schema: FieldDiff | None


@requires(scope="prompts:read")
class CompareVersions(Query[VersionDiffView]):
    """Show what differs between two versions of a prompt."""

    prompt_id: PromptId
    from_version: Annotated[_Number, Field(alias="from")]
    to_version: Annotated[_Number, Field(alias="to")]
