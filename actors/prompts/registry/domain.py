"""What a version's content is, apart from where it is kept."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime

import orjson

from promptforge.actors.prompts.messages import (
    ChatMessage,
    CreateVersion,
    FirstVersion,
    ModelSettings,
    PromptKind,
    PromptVersionView,
    PromptView,
)
from promptforge.core.errors import FieldError, Invalid

MAX_CONTENT_BYTES = 262_144


def content_hash(content: str | tuple[ChatMessage, ...], settings: ModelSettings) -> str:
    """SHA-256 (hex) of the canonical form: JSON with sorted keys, no white space, and no settings that are null.

    Two versions with one hash would behave the same, so there is only one of them. The form never changes: stored
    hashes would lose their meaning. What is added later is left out of it while null.
    """
    parts: object = content
    if not isinstance(content, str):
        parts = [{"content": message.content, "role": message.role.value} for message in content]
    chosen = {name: value for name, value in asdict(settings).items() if value is not None}
    for name, value in chosen.items():
        if value == 0:
            chosen[name] = abs(value)  # JSON knows a minus zero; a model does not
    canonical = orjson.dumps({"content": parts, "settings": chosen}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def check_content(kind: PromptKind, content: str | tuple[ChatMessage, ...], *, pointer: str = "/content") -> None:
    """Raises `Invalid` where the content is not of the prompt's kind, or is too large; `pointer` says where it is."""
    if isinstance(content, str) is not (kind is PromptKind.TEXT):
        wanted = "a text" if kind is PromptKind.TEXT else "a list of messages"
        raise _invalid(f"This is a {kind} prompt: its content is {wanted}", "wrong_kind", pointer)
    text = content if isinstance(content, str) else "".join(message.content for message in content)
    if len(text.encode()) > MAX_CONTENT_BYTES:
        raise _invalid(f"The content has more than {MAX_CONTENT_BYTES} bytes", "too_long", pointer)


def new_version(
    prompt: PromptView, number: int, wanted: CreateVersion | FirstVersion, *, now: datetime
) -> PromptVersionView:
    """Version `number` of `prompt`, as wanted."""
    return PromptVersionView(
        prompt_id=prompt.id,
        version=number,
        kind=prompt.kind,
        content=wanted.content,
        settings=wanted.settings,
        message=wanted.message,
        content_hash=content_hash(wanted.content, wanted.settings),
        created_at=now,
    )


def _invalid(detail: str, code: str, pointer: str) -> Invalid:
    return Invalid(errors=(FieldError(detail, code, pointer=pointer),))
