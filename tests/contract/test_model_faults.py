"""Providers that fail: what becomes of it behind the guard, and that no provider's words come through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.errors import (
    ModelFailed,
    ModelMisconfigured,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)
from promptforge.actors.ai.providers.anthropic_messages import AnthropicMessages
from promptforge.actors.ai.providers.guarded import Guarded, Limits
from promptforge.actors.ai.providers.interface import Prompt, Provider, Speaker, Turn
from promptforge.actors.ai.providers.openai_compatible import OpenAICompatible
from promptforge.core.breaker import FAILURES
from promptforge.core.errors import PromptForgeError
from promptforge.core.streams import Delta
from tests.support.faulty_models import KINDS, LINE, FaultyModels, faulty_models
from tests.support.running import free_port

pytestmark = pytest.mark.anyio

LIMITS = Limits(running=4, waiting=2, attempts=2)


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyModels]:
    with faulty_models(tmp_path_factory.mktemp("aimock")) as started:
        yield started


def speaking_to(kind: str, url: str) -> Provider:
    if kind == "openai":
        return OpenAICompatible("sk-test", base_url=f"{url}/v1")
    return AnthropicMessages("sk-test", base_url=url)


@pytest.fixture(params=KINDS)
async def model(request: pytest.FixtureRequest, peer: FaultyModels) -> AsyncIterator[Guarded]:
    guarded = Guarded(speaking_to(request.param, peer.url), LIMITS)
    await guarded._provider.complete(prompt("hello"))  # imports the SDK, which takes longer than some tests wait
    yield guarded
    await guarded.close()


def prompt(text: str, **changes: Any) -> Prompt:
    return Prompt("some-model", (Turn(Speaker.USER, text),), 50, **changes)


async def read(model: Guarded, text: str) -> list[str]:
    """Every piece of the streamed answer."""
    async with aclosing(model.stream(prompt(text))) as items:
        return [item.text async for item in items if isinstance(item, Delta)]


FAULTS = [
    ("rate limited", ModelRateLimited),
    ("overloaded", ModelUnavailable),
    ("server error", ModelFailed),
    ("bad request", ModelRefused),
    ("no such model", ModelMisconfigured),
    ("no money", ModelMisconfigured),
    ("malformed", ModelFailed),
    ("slow to start", ModelTimeout),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("words", "expected"), FAULTS)
async def test_a_fault_is_its_problem(
    model: Guarded, words: str, expected: type[PromptForgeError], *, streamed: bool
) -> None:
    impatient = Limits(attempts=1, first_seconds=1.0, whole_seconds=1.0)
    asked = Guarded(model._provider, impatient if expected is ModelTimeout else LIMITS)
    with pytest.raises(expected) as told:
        await (read(asked, words) if streamed else asked.complete(prompt(words)))
    assert type(told.value) is expected
    assert "secret" not in told.value.detail
    assert told.value.__cause__ is None
    assert told.value.retryable is (expected not in {ModelRefused, ModelMisconfigured})


async def test_nothing_is_wrong_with_a_sound_one(model: Guarded) -> None:
    assert (await model.complete(prompt("hello"))).text == LINE
    pieces = await read(model, "hello")
    assert "".join(pieces) == LINE
    assert len(pieces) > 5


async def test_the_patience_that_a_provider_asks_for_is_told_at_once(model: Guarded, peer: FaultyModels) -> None:
    before = len(peer.asked("rate limited"))
    with pytest.raises(ModelRateLimited) as told:
        await model.complete(prompt("rate limited"))
    assert told.value.retry_after_seconds == 7
    assert len(peer.asked("rate limited")) == before + 1, "it was not waited for"


async def test_what_fails_once_is_tried_again(model: Guarded, peer: FaultyModels) -> None:
    words = f"once {model.name}"
    assert (await model.complete(prompt(words))).text == LINE
    assert len(peer.asked(words)) == 2


@pytest.mark.parametrize("words", ["bad request", "no such model", "rate limited"])
async def test_what_would_fail_again_is_not_tried_again(model: Guarded, peer: FaultyModels, words: str) -> None:
    before = len(peer.asked(words))
    with pytest.raises(PromptForgeError):
        await model.complete(prompt(words))
    assert len(peer.asked(words)) == before + 1


async def test_a_stream_that_breaks_off_is_not_begun_again(model: Guarded, peer: FaultyModels) -> None:
    before = len(peer.asked("broken"))
    pieces: list[str] = []

    async def take() -> None:
        async for item in model.stream(prompt("broken")):
            assert isinstance(item, Delta)
            pieces.append(item.text)

    with pytest.raises(ModelFailed):
        await take()
    assert pieces
    assert LINE.startswith("".join(pieces))
    assert len(peer.asked("broken")) == before + 1


async def test_a_stream_that_dries_up_ends_as_a_timeout(model: Guarded) -> None:
    with pytest.raises(ModelTimeout):
        await read(Guarded(model._provider, Limits(attempts=1, gap_seconds=0.5)), "slow to go on")


async def test_more_than_may_wait_is_refused_at_once(model: Guarded) -> None:
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await read(model, "steady")
        except ModelUnavailable as error:
            outcomes.append(error.code)
        else:
            outcomes.append("answered")

    async with anyio.create_task_group() as tasks:
        for _ in range(LIMITS.running + LIMITS.waiting + 3):
            tasks.start_soon(ask)
        while len(outcomes) < 3:
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert outcomes == ["model_unavailable"] * 3
    assert (await model.complete(prompt("hello"))).text == LINE  # the cancelled ones have given their places back


async def test_a_provider_that_keeps_failing_is_left_alone(model: Guarded, peer: FaultyModels) -> None:
    once = Guarded(model._provider, Limits(attempts=1))
    for _ in range(FAILURES):
        with pytest.raises(ModelFailed):
            await once.complete(prompt("server error"))
    assert once.resting
    asked = len(peer.asked("server error"))
    with pytest.raises(ModelUnavailable) as told:
        await once.complete(prompt("server error"))
    assert told.value.retry_after_seconds is not None
    assert told.value.retry_after_seconds > 5
    assert len(peer.asked("server error")) == asked


@pytest.mark.parametrize("kind", KINDS)
async def test_a_provider_that_is_not_there_is_unavailable(kind: str) -> None:
    model = Guarded(speaking_to(kind, f"http://127.0.0.1:{free_port()}"), LIMITS)
    with pytest.raises(ModelUnavailable):
        await model.complete(prompt("hello"))
    await model.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_provider_that_hangs_up_is_unavailable(kind: str, peer: FaultyModels) -> None:
    model = Guarded(speaking_to(kind, peer.url), Limits(attempts=1))
    for call in (model.complete(prompt("hung up")), read(model, "hung up")):
        with pytest.raises(ModelUnavailable):
            await call
    await model.close()


async def test_every_parameter_reaches_the_provider(model: Guarded, peer: FaultyModels) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "additionalProperties": False}
    words = f"hello with everything to {model.name}"
    await model.complete(prompt(words, temperature=0.5, top_p=0.25, stop=("END",), seed=11, schema=schema))
    body = peer.asked(words)[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("some-model", 50, 0.5)
    if model.name == "openai":
        assert (body["top_p"], body["seed"], body["stop"]) == (0.25, 11, ["END"])
        assert body["response_format"]["json_schema"]["schema"] == schema
