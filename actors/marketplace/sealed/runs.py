"""From what somebody sends to what a model is asked, and from its answer to what they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from promptforge.actors.ai.messages import RunMessage, RunRole, RunSettings
from promptforge.actors.marketplace.sealed.messages import SealedVariable
from promptforge.actors.prompts.messages import ChatMessage, ChatRole
from promptforge.actors.prompts.rendering.messages import SealedPrompt
from promptforge.core.errors import FieldError, Invalid

_ROLES = {
    ChatRole.SYSTEM: RunRole.SYSTEM,
    ChatRole.DEVELOPER: RunRole.SYSTEM,
    ChatRole.USER: RunRole.USER,
    ChatRole.ASSISTANT: RunRole.ASSISTANT,
}


def refuse_unknown(prompt: SealedPrompt, values: Mapping[str, Any]) -> None:  # Any: JSON
    """Raises `Invalid` for variables that the prompt does not use, with a pointer to each."""
    unknown = sorted(values.keys() - {variable.name for variable in prompt.variables})
    if unknown:
        errors = tuple(
            FieldError(
                "There is no such variable here",
                "unknown_variable",
                pointer="/variables/" + name.replace("~", "~0").replace("/", "~1"),
            )
            for name in unknown
        )
        raise Invalid("Some variables are not known here", errors=errors)


def variables_told(prompt: SealedPrompt) -> tuple[SealedVariable, ...]:
    """Names and types: descriptions and defaults are the seller's text."""
    return tuple(
        SealedVariable(one.name, one.type, required=one.default is None, values=one.values) for one in prompt.variables
    )


def messages_of(content: str | tuple[ChatMessage, ...]) -> tuple[RunMessage, ...]:
    if isinstance(content, str):
        return (RunMessage(RunRole.USER, content),)
    return tuple(RunMessage(_ROLES[message.role], message.content) for message in content)


def settings_of(prompt: SealedPrompt, terms: Mapping[str, Any]) -> RunSettings:  # Any: a MongoDB document
    """The seller's, and then the version's."""
    own = prompt.settings
    return RunSettings(
        model=terms["model"],
        temperature=own.temperature if terms["temperature"] is None else terms["temperature"],
        top_p=own.top_p if terms["top_p"] is None else terms["top_p"],
        max_tokens=terms["max_tokens"],
        response_schema=prompt.response_schema,
    )


def own_texts(values: Any) -> Iterator[str]:  # Any: JSON
    """Every text in what somebody sent: an output may repeat those."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield name
            yield from own_texts(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from own_texts(value)
    else:
        yield orjson.dumps(values).decode()
