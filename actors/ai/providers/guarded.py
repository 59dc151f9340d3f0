"""What stands between askers and a provider: a bounded queue, deadlines, retries, and a circuit breaker.

Only what has shown nothing yet is tried again: once a piece of the answer is out, a failure is the asker's to hear. A
request has no idempotency key at any provider, so an attempt whose answer was lost may have been charged for; that is
the platform's loss, and the reason why what was merely slow is not tried again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import anyio
import structlog

from promptforge.actors.ai.errors import (
    ModelFailed,
    ModelMisconfigured,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
)
from promptforge.actors.ai.providers.interface import Completion, End, Prompt, Provider, Stream, Turn
from promptforge.core.breaker import Breaker
from promptforge.core.errors import MailboxFull, PromptForgeError
from promptforge.core.runtime.turnstile import Turnstile
from promptforge.core.streams import Delta

T = TypeVar("T")
log = structlog.get_logger(__name__)
_rng = Random()  # noqa: S311  # jitter only

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 4.0
"""A provider that asks for more patience is not waited for: the asker is told how long."""
_AGAIN = (ModelRateLimited, ModelUnavailable, ModelFailed)
_FAULTS = (ModelUnavailable, ModelFailed, ModelTimeout)


@dataclass(frozen=True, slots=True)
class Limits:
    """`running` requests at once and `waiting` behind them, for `wait_seconds`, in this process.

    `first_seconds`: until the first piece, of each attempt; `gap_seconds`: between two; `whole_seconds`: in all,
    retries included, from when the request is sent.
    """

    running: int = 32
    waiting: int = 128
    wait_seconds: float = 30.0
    attempts: int = 3
    first_seconds: float = 30.0
    gap_seconds: float = 20.0
    whole_seconds: float = 150.0


def _ignore() -> None:
    """Nobody wants to know."""


class Guarded:
    """A provider as the rest of the service sees it."""

    def __init__(
        self,
        provider: Provider,
        limits: Limits | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        rng: Random = _rng,
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._limits = limits or Limits()
        self._turnstile = Turnstile(limit=self._limits.running, max_waiting=self._limits.waiting)
        self._breaker = Breaker(monotonic)
        self._rng = rng

    @property
    def resting(self) -> bool:
        """The circuit is open: the provider failed so often that it is left alone for the moment."""
        return self._breaker.is_open

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        return self._provider.count_tokens(turns)

    async def close(self) -> None:
        await self._provider.close()

    async def complete(self, prompt: Prompt, *, begun: Callable[[], None] = _ignore) -> Completion:
        """`begun` is called when the provider is about to be asked: before it, only the queue was in the way."""

        async def attempt(ends: float) -> Completion:
            return await _within(ends - anyio.current_time(), self._provider.complete(prompt))

        async with self._turn():
            begun()
            return await self._retrying(attempt, anyio.current_time() + self._limits.whole_seconds)

    async def stream(self, prompt: Prompt, *, begun: Callable[[], None] = _ignore) -> Stream:
        limits = self._limits

        async def attempt(ends: float) -> tuple[Stream, Delta | End]:
            source = self._provider.stream(prompt)
            return source, await _next(source, min(limits.first_seconds, ends - anyio.current_time()))

        async with self._turn():
            begun()
            ends = anyio.current_time() + limits.whole_seconds
            source, item = await self._retrying(attempt, ends)
            async with aclosing(source):
                while isinstance(item, Delta):
                    yield item
                    item = await self._following(source, ends)
            yield item

    async def _following(self, source: Stream, ends: float) -> Delta | End:
        """What comes after a piece of the answer, which cannot be begun again any more."""
        try:
            return await _next(source, min(self._limits.gap_seconds, ends - anyio.current_time()))
        except ModelTimeout:
            self._breaker.failed()
            raise
        except _FAULTS:
            self._breaker.failed()
            raise ModelFailed("The language model's answer broke off") from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            with anyio.move_on_after(self._limits.wait_seconds) as patience:
                await self._turnstile.enter()
        except MailboxFull:
            waiting = f"{self._limits.running} requests run and {self._limits.waiting} wait"
            raise ModelUnavailable(f"Too much is asked of the language model: {waiting}") from None
        if patience.cancelled_caught:
            raise ModelUnavailable("Too much is asked of the language model: the turn did not come")
        try:
            yield
        finally:
            self._turnstile.leave()

    async def _retrying(self, attempt: Callable[[float], Awaitable[T]], ends: float) -> T:
        """Carry out `attempt`, again where that can help and there is time."""
        number = 1
        while True:
            try:
                return await self._judged(attempt, ends)
            except _AGAIN as error:
                pause = self._pause(number, error)
                if number >= self._limits.attempts or pause is None or anyio.current_time() + pause >= ends:
                    raise
                log.warning("model.tried_again", provider=self.name, error=error.code, attempt=number)
            number += 1
            await anyio.sleep(pause)

    async def _judged(self, attempt: Callable[[float], Awaitable[T]], ends: float) -> T:
        """One attempt, if the circuit breaker lets it pass, which then learns how it went."""
        closed_for = self._breaker.admit()
        if closed_for is not None:
            raise _Resting("The language model failed too often lately", retry_after_seconds=closed_for)
        learn = self._breaker.neither  # refused, or nobody wants it any more
        try:
            answer = await attempt(ends)
            learn = self._breaker.succeeded
        except _FAULTS as error:
            learn = self._breaker.failed
            log.warning("model.failed", provider=self.name, error=error.code, detail=error.detail)
            raise
        except ModelMisconfigured as error:
            log.warning("model.misconfigured", provider=self.name, detail=error.detail)
            raise
        finally:
            learn()
        return answer

    def _pause(self, number: int, error: PromptForgeError) -> float | None:
        """Seconds until the next attempt: what was asked for, and jitter. None where that is too long to wait."""
        if isinstance(error, _Resting):
            return None
        wanted = error.retry_after_seconds or 0.0
        if wanted > LONGEST_WAIT_SECONDS:
            return None
        return wanted + self._rng.uniform(0, FIRST_BACKOFF_SECONDS * 2 ** (number - 1))


class _Resting(ModelUnavailable):
    """The circuit is open; the provider was not asked."""


async def _within(seconds: float, call: Awaitable[T]) -> T:
    with anyio.move_on_after(seconds):
        return await call
    raise ModelTimeout


async def _next(source: Stream, seconds: float) -> Delta | End:
    """The next piece; whatever it fails with, the source is closed then."""
    item: Delta | End | None = None
    try:
        item = await _within(seconds, anext(source))
    except StopAsyncIteration:
        raise ModelFailed("The language model's answer broke off") from None
    finally:
        if item is None:
            await source.aclose()
    return item
