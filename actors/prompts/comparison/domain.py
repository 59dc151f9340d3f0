"""Differences of texts, chats and settings. Texts are compared by line, within a bound of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher, unified_diff
from typing import Any

import orjson

from promptforge.actors.prompts.comparison.messages import Change, FieldDiff, MessageDiff, VersionDiffView
from promptforge.actors.prompts.messages import ChatMessage, PromptVersionView
from promptforge.actors.prompts.registry.domain import Content

MAX_LINES = 2000
"""Beyond, in what is not the same at beginning and end, lines are not matched: all of it was replaced. The matcher's
work grows with their square."""
_CONTEXT = 3


def compare(before: PromptVersionView, after: PromptVersionView) -> VersionDiffView:
    """What has to be told of `before` to get `after`."""
    return VersionDiffView(
        prompt_id=after.prompt_id,
        from_version=before.version,
        to_version=after.version,
        unified=unified(_whole(before.content), _whole(after.content), before.version, after.version),
        messages=_messages(before.content, after.content, before.version, after.version),
        settings=_fields(asdict(before.settings), asdict(after.settings)),
        tools=_fields({tool.name: asdict(tool) for tool in before.tools}, {t.name: asdict(t) for t in after.tools}),
        variables=_fields({v.name: asdict(v) for v in before.variables}, {v.name: asdict(v) for v in after.variables}),
        response_schema=_field("response_schema", before.response_schema, after.response_schema),
    )


def unified(before: str, after: str, from_version: int, to_version: int) -> str:
    """A unified diff; empty where the texts are the same. A last line without a break is told as `diff` does it."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if max(len(old), len(new)) - _same_ends(old, new) > MAX_LINES:
        head = f"--- version {from_version}\n+++ version {to_version}\n@@ -1,{len(old)} +1,{len(new)} @@\n"
        lines = [*(f"-{line}" for line in old), *(f"+{line}" for line in new)]
        return head + "".join(map(_ended, lines))
    made = unified_diff(old, new, f"version {from_version}", f"version {to_version}", n=_CONTEXT)
    return "".join(map(_ended, made))


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _same_ends(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines the two share at their beginning and their end."""
    shorter = min(len(old), len(new))
    head = next((index for index in range(shorter) if old[index] != new[index]), shorter)
    rest = shorter - head
    return head + next((index for index in range(rest) if old[-1 - index] != new[-1 - index]), rest)


def _whole(content: Content) -> str:
    """A chat as one text, for people: each message under its role."""
    if isinstance(content, str):
        return content
    return "\n".join(f"[{message.role.value}]\n{message.content}\n" for message in content)


def _messages(before: Content, after: Content, from_version: int, to_version: int) -> tuple[MessageDiff, ...]:
    if isinstance(before, str) or isinstance(after, str):
        return ()
    found: list[MessageDiff] = []
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        both = min(old_end - old_start, new_end - new_start)
        indexes: list[tuple[int | None, int | None]] = [(old_start + n, new_start + n) for n in range(both)]
        indexes += [(index, None) for index in range(old_start + both, old_end)]
        indexes += [(None, index) for index in range(new_start + both, new_end)]
        for old_index, new_index in indexes:
            old = None if old_index is None else before[old_index]
            new = None if new_index is None else after[new_index]
            text = unified(_text(old), _text(new), from_version, to_version)
            change = Change.ADDED if old is None else Change.REMOVED if new is None else Change.CHANGED
            found.append(MessageDiff(change, old_index, new_index, _role(old), _role(new), text))
    return tuple(found)


def _text(message: ChatMessage | None) -> str:
    return "" if message is None else message.content


def _role(message: ChatMessage | None) -> Any:  # Any: a ChatRole or None
    return None if message is None else message.role


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldDiff, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(found for name in names if (found := _field(name, before.get(name), after.get(name))) is not None)


def _field(name: str, before: Any, after: Any) -> FieldDiff | None:  # Any: JSON
    if orjson.dumps(before) == orjson.dumps(after):  # as they are shown: the order of members may matter to a model
        return None
    change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
    return FieldDiff(name, change, before, after)
