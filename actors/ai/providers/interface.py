"""What a language model is to the rest of this service: chat messages in, text and token counts out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from promptforge.core.streams import Delta


class Speaker(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Finish(StrEnum):
    """Why a model stopped: it was done, it may say no more (`max_tokens`), or its provider kept something back."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a chat."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request. What is None is left to the model's default; `schema` is the JSON Schema of the answer."""

    model: str
    turns: tuple[Turn, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: Mapping[str, Any] | None = None  # Any: JSON


@dataclass(frozen=True, slots=True)
class Tokens:
    """As the provider counts them, what it had cached included."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class End:
    """The last item of a stream. `tokens` is None where the provider told none."""

    finish: Finish
    tokens: Tokens | None


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    finish: Finish
    tokens: Tokens | None


Stream = AsyncGenerator[Delta | End, None]
"""Deltas in order and one `End`. `aclose` stops the model at once, wherever it is."""


class Provider(Protocol):
    """Raises the errors of `actors/ai/errors.py` and no others."""

    name: str

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer. Cancelling it stops the model."""
        ...

    def stream(self, prompt: Prompt) -> Stream:
        """The answer piece by piece; nothing happens before the first item is asked for."""
        ...

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        """About how many tokens these are, rather too many than too few; asks nobody."""
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory."""
        ...
