"""Anthropic's Messages API. It knows no seed, and a chat's system messages are one text beside the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptforge.actors.ai.errors import ModelFailed
from promptforge.actors.ai.providers.clients import SdkClient
from promptforge.actors.ai.providers.failures import translated
from promptforge.actors.ai.providers.interface import (
    Completion,
    End,
    Finish,
    Prompt,
    Speaker,
    Stream,
    Tokens,
    Turn,
)
from promptforge.actors.ai.providers.schemas import without_bounds
from promptforge.actors.ai.providers.tokens import tokens_of_turns
from promptforge.core.streams import Delta

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_FINISHES = {
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "refusal": Finish.FILTERED,
}


class AnthropicMessages:
    """`base_url`: of another server that speaks this."""

    name = "anthropic"

    def __init__(self, api_key: str, *, base_url: str | None = None) -> None:
        self._client: SdkClient[AsyncAnthropic] = SdkClient("anthropic", "AsyncAnthropic", api_key, base_url)

    async def complete(self, prompt: Prompt) -> Completion:
        client = await self._client.get()
        with translated(self._client.module()):
            reply = await client.messages.create(**_request(prompt))
            text = "".join(block.text for block in reply.content if block.type == "text")
            tokens = Tokens(_input_tokens(reply.usage), reply.usage.output_tokens)
            return Completion(text, _finish(reply.stop_reason), tokens)

    async def stream(self, prompt: Prompt) -> Stream:
        client = await self._client.get()
        finish, received, sent, ended = Finish.STOP, None, None, False
        with translated(self._client.module()):
            async with await client.messages.create(**_request(prompt), stream=True) as events:
                async for event in events:
                    match event.type:
                        case "message_start":
                            received = _input_tokens(event.message.usage)
                        case "content_block_delta" if event.delta.type == "text_delta" and event.delta.text:
                            yield Delta(event.delta.text)
                        case "message_delta":
                            finish = _finish(event.delta.stop_reason)
                            sent = event.usage.output_tokens
                        case "message_stop":
                            ended = True
        if not ended:
            raise ModelFailed("The language model's answer broke off")
        yield End(finish, None if received is None or sent is None else Tokens(received, sent))

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        return tokens_of_turns(turns)

    async def close(self) -> None:
        await self._client.close()


def _request(prompt: Prompt) -> dict[str, Any]:  # Any: JSON
    system = "\n\n".join(turn.text for turn in prompt.turns if turn.speaker is Speaker.SYSTEM)
    chat = [
        {"role": turn.speaker.value, "content": turn.text}
        for turn in prompt.turns
        if turn.speaker is not Speaker.SYSTEM
    ]
    if not chat:  # a chat needs a message of the user's
        chat, system = [{"role": "user", "content": system}], ""
    request: dict[str, Any] = {"model": prompt.model, "messages": chat, "max_tokens": prompt.max_tokens}
    if system:
        request["system"] = system
    if prompt.stop:
        request["stop_sequences"] = list(prompt.stop)
    if prompt.schema is not None:
        request["output_config"] = {"format": {"type": "json_schema", "schema": without_bounds(prompt.schema)}}
    # The SDK has dropped these two, because the newest models refuse them; others take them still.
    sampling = {"temperature": prompt.temperature, "top_p": prompt.top_p}
    if chosen := {name: value for name, value in sampling.items() if value is not None}:
        request["extra_body"] = chosen
    return request


def _input_tokens(usage: Any) -> int:  # Any: the SDK's usage, of which some servers leave parts out
    """What was read from the cache or written into it is counted apart from the rest there."""
    parts = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    return sum(part or 0 for part in parts)


def _finish(reason: str | None) -> Finish:
    return _FINISHES.get(reason or "", Finish.STOP)
