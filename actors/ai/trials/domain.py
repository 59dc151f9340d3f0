"""From a rendered prompt to what a model is asked."""

from __future__ import annotations

from promptforge.actors.ai.messages import RunMessage, RunRole, RunSettings
from promptforge.actors.ai.trials.messages import TrialSettings
from promptforge.actors.prompts.messages import ChatMessage, ChatRole, ModelSettings
from promptforge.actors.prompts.rendering.messages import RenderedView

_ROLES = {
    ChatRole.SYSTEM: RunRole.SYSTEM,
    ChatRole.DEVELOPER: RunRole.SYSTEM,  # OpenAI's newer name for it; no other provider knows it
    ChatRole.USER: RunRole.USER,
    ChatRole.ASSISTANT: RunRole.ASSISTANT,
}


def messages_of(content: str | tuple[ChatMessage, ...]) -> tuple[RunMessage, ...]:
    """A text is what the user says."""
    if isinstance(content, str):
        return (RunMessage(RunRole.USER, content),)
    return tuple(RunMessage(_ROLES[message.role], message.content) for message in content)


def settings_of(rendered: RenderedView, *, model: str | None, changed: TrialSettings) -> RunSettings:
    """The version's settings, with those of the request before them."""
    own: ModelSettings = rendered.settings
    return RunSettings(
        model=own.model if model is None else model,
        temperature=own.temperature if changed.temperature is None else changed.temperature,
        top_p=own.top_p if changed.top_p is None else changed.top_p,
        max_tokens=own.max_tokens if changed.max_tokens is None else changed.max_tokens,
        stop=changed.stop,
        seed=changed.seed,
        response_schema=rendered.response_schema,
    )
