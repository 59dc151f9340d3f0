"""OpenAI's chat completions, and whatever server speaks them (`LLM_BASE_URL`)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from promptforge.actors.ai.errors import ModelFailed
from promptforge.actors.ai.providers.failures import translated
from promptforge.actors.ai.providers.interface import Completion, End, Finish, Prompt, Stream, Tokens, Turn
from promptforge.actors.ai.providers.schemas import without_bounds
from promptforge.actors.ai.providers.tokens import tokens_of_turns
from promptforge.core.streams import Delta

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0
READ_SECONDS = 120.0
"""Between two reads. How long an answer may take is the guard's business, which is stricter."""
_FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.FILTERED}


class OpenAICompatible:
    """`base_url`: of another server than OpenAI's."""

    name = "openai"

    def __init__(self, api_key: str, *, base_url: str | None = None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._made: AsyncOpenAI | None = None
        self._making = threading.Lock()

    async def complete(self, prompt: Prompt) -> Completion:
        client = await self._client()
        with translated(_sdk()):
            reply = await client.chat.completions.create(**self._request(prompt))
            choice = reply.choices[0]
            text = choice.message.content or choice.message.refusal or ""
            finish = _finish(choice.finish_reason, refused=choice.message.refusal is not None)
            return Completion(text, finish, _tokens(reply.usage))

    async def stream(self, prompt: Prompt) -> Stream:
        client = await self._client()
        finish, tokens, refused = None, None, False
        with translated(_sdk()):
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
        if self._made is not None:
            await self._made.close()
            self._made = None

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

    async def _client(self) -> AsyncOpenAI:
        """The SDK takes a second to import: beside the loop, and when it is first used."""
        if self._made is not None:
            return self._made
        return await anyio.to_thread.run_sync(self._make)

    def _make(self) -> AsyncOpenAI:
        with self._making:
            if self._made is not None:
                return self._made
            sdk = _sdk()
            timeout = sdk.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
            made: AsyncOpenAI = sdk.AsyncOpenAI(
                api_key=self._api_key, base_url=self._base_url, timeout=timeout, max_retries=0
            )
            self._made = made
            return made


def _sdk() -> Any:  # Any: a module
    import openai  # noqa: PLC0415

    return openai


def _tokens(usage: Any) -> Tokens | None:  # Any: other servers fill in what they like
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return Tokens(usage.prompt_tokens, usage.completion_tokens)


def _finish(reason: str | None, *, refused: bool) -> Finish:
    return Finish.FILTERED if refused else _FINISHES.get(reason or "", Finish.STOP)
