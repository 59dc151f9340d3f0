"""OpenAI's chat completions, and whatever server speaks them (`LLM_BASE_URL`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptforge.actors.ai.errors import ModelFailed
from promptforge.actors.ai.providers.clients import SdkClient
from promptforge.actors.ai.providers.failures import translated
from promptforge.actors.ai.providers.interface import Completion, End, Finish, Prompt, Stream, Tokens, Turn
from promptforge.actors.ai.providers.schemas import without_bounds
from promptforge.actors.ai.providers.tokens import tokens_of_turns
from promptforge.core.streams import Delta

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.FILTERED}


class OpenAICompatible:
    """`base_url`: of another server than OpenAI's."""

    name = "openai"

    def __init__(self, api_key: str, *, base_url: str | None = None) -> None:
        self._base_url = base_url
        self._client: SdkClient[AsyncOpenAI] = SdkClient("openai", "AsyncOpenAI", api_key, base_url)

    async def complete(self, prompt: Prompt) -> Completion:
        client = await self._client.get()
        with translated(self._client.module()):
            reply = await client.chat.completions.create(**self._request(prompt))
            choice = reply.choices[0]
            text = choice.message.content or choice.message.refusal or ""
            finish = _finish(choice.finish_reason, refused=choice.message.refusal is not None)
            return Completion(text, finish, _tokens(reply.usage))

    async def stream(self, prompt: Prompt) -> Stream:
        client = await self._client.get()
        finish, tokens, refused = None, None, False
        with translated(self._client.module()):
            request = {**self._request(prompt), "stream": True, "stream_options": {"include_usage": True}}
            async with await client.chat.completions.create(**request) as chunks:
                async for chunk in chunks:
                    tokens = _tokens(chunk.usage) or tokens
                    if not chunk.choices:
                        continue
                    choice = chunk.choices[0]
                    if text := choice.delta.content or choice.delta.refusal:
                        yield Delta(text)
                    refused = refused or choice.delta.refusal is not None
                    finish = choice.finish_reason or finish
        if finish is None:
            raise ModelFailed("The language model's answer broke off")
        yield End(_finish(finish, refused=refused), tokens)

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        return tokens_of_turns(turns)

    async def close(self) -> None:
        await self._client.close()

    def _request(self, prompt: Prompt) -> dict[str, Any]:  # Any: JSON
        # OpenAI's newer models refuse the old name of the limit, and other servers do not know the new one.
        limit = "max_tokens" if self._base_url is not None else "max_completion_tokens"
        request: dict[str, Any] = {
            "model": prompt.model,
            "messages": [{"role": turn.speaker.value, "content": turn.text} for turn in prompt.turns],
            limit: prompt.max_tokens,
        }
        optional = {"temperature": prompt.temperature, "top_p": prompt.top_p, "seed": prompt.seed}
        request |= {name: value for name, value in optional.items() if value is not None}
        if prompt.stop:
            request["stop"] = list(prompt.stop)
        if prompt.schema is not None:
            wanted = dict(prompt.schema) if self._base_url is not None else without_bounds(prompt.schema)
            schema = {"name": "answer", "strict": True, "schema": wanted}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request


def _tokens(usage: Any) -> Tokens | None:  # Any: other servers fill in what they like
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return Tokens(usage.prompt_tokens, usage.completion_tokens)


def _finish(reason: str | None, *, refused: bool) -> Finish:
    return Finish.FILTERED if refused else _FINISHES.get(reason or "", Finish.STOP)
