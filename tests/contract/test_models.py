"""One suite over every provider of language models, with a real one answering."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.errors import ContextTooLong, ModelMisconfigured, ModelRefused
from promptforge.actors.ai.providers.interface import End, Finish, Prompt, Provider, Speaker, Turn
from promptforge.actors.ai.providers.local import MAX_TOKENS, MODEL, LocalModel
from promptforge.core.streams import Delta
from tests.contract.conftest import connected

pytestmark = pytest.mark.anyio

SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
    "additionalProperties": False,
}


def prompt(text: str, *, max_tokens: int = 24, system: str = "You are terse.", **changes: Any) -> Prompt:
    turns = (Turn(Speaker.SYSTEM, system), Turn(Speaker.USER, text))
    return Prompt(MODEL, turns, max_tokens, **{"temperature": 0.0, **changes})


async def test_it_answers_and_counts(provider: Provider) -> None:
    wanted = prompt("What colour is the sky?")
    reply = await provider.complete(wanted)
    assert reply.text.strip()
    assert reply.tokens is not None
    assert 10 < reply.tokens.input <= provider.count_tokens(wanted.turns)
    assert 0 < reply.tokens.output <= 24


async def test_the_stream_says_what_the_whole_answer_says_in_order(provider: Provider) -> None:
    wanted = prompt("Count from one to nine in words.")
    whole = await provider.complete(wanted)
    items = [item async for item in provider.stream(wanted)]
    assert all(isinstance(item, Delta) and item.text for item in items[:-1])
    assert "".join(item.text for item in items if isinstance(item, Delta)) == whole.text
    end = items[-1]
    assert isinstance(end, End)
    assert (end.finish, end.tokens) == (whole.finish, whole.tokens)


async def test_the_first_piece_comes_long_before_the_last(provider: Provider) -> None:
    arrivals = []
    async for _ in provider.stream(prompt("Write a long story about a ship.", max_tokens=48)):
        arrivals.append(time.monotonic())  # noqa: PERF401
    assert len(arrivals) > 20
    assert arrivals[-1] - arrivals[0] > 10 * min(later - earlier for earlier, later in pairwise(arrivals))


async def test_it_stops_at_max_tokens_and_says_so(provider: Provider) -> None:
    reply = await provider.complete(prompt("Write a long story about a ship.", max_tokens=5))
    assert reply.finish is Finish.LENGTH
    assert reply.tokens is not None
    assert reply.tokens.output == 5


async def test_it_stops_at_a_stop_text_and_leaves_it_out(provider: Provider) -> None:
    asked = "Repeat exactly: alpha beta gamma delta"
    plain = (await provider.complete(prompt(asked))).text
    word = plain.split()[2]
    stopped = await provider.complete(prompt(asked, stop=(word,)))
    assert word not in stopped.text
    assert plain.startswith(stopped.text)
    assert stopped.finish is Finish.STOP


async def test_temperature_zero_repeats_itself(provider: Provider) -> None:
    wanted = prompt("Name three animals.", top_p=0.5, seed=7)
    assert (await provider.complete(wanted)).text == (await provider.complete(wanted)).text


@pytest.mark.parametrize("name", ["openai", "local"])  # the peer ignores Anthropic's field: see test_model_faults
async def test_a_schema_shapes_the_answer(name: str, local_model: LocalModel) -> None:
    async with connected(name, local_model) as provider:
        reply = await provider.complete(prompt("How good is this, from 1 to 5?", max_tokens=40, schema=SCORE))
    answer = json.loads(reply.text)
    assert list(answer) == ["score"]
    assert isinstance(answer["score"], int)


@pytest.mark.parametrize("name", ["openai", "local"])
async def test_a_schema_that_is_none_is_refused(name: str, local_model: LocalModel) -> None:
    async with connected(name, local_model) as provider:
        with pytest.raises(ModelRefused):
            await provider.complete(prompt("Hello", schema={"type": "nonsense"}))
        assert (await provider.complete(prompt("Hello"))).text


async def test_a_stream_that_is_closed_half_way_stops_the_model(provider: Provider, local_model: LocalModel) -> None:
    async with aclosing(provider.stream(prompt("Write a long story about a ship.", max_tokens=500))) as stream:
        for _ in range(3):
            assert isinstance(await anext(stream), Delta)
    await model_is_free(local_model)


async def test_a_cancelled_answer_stops_the_model(provider: Provider, local_model: LocalModel) -> None:
    with anyio.move_on_after(0.6) as scope:
        await provider.complete(prompt("Write a long story about a ship.", max_tokens=500))
    assert scope.cancelled_caught
    await model_is_free(local_model)


async def test_it_can_be_stopped_while_it_still_reads(provider: Provider, local_model: LocalModel) -> None:
    with anyio.move_on_after(0.3) as scope:
        await provider.complete(prompt("alpha beta gamma " * 900))
    assert scope.cancelled_caught
    await model_is_free(local_model)


async def model_is_free(local_model: LocalModel) -> None:
    """To finish what was asked would take ten seconds of a processor and more; another one is answered with less."""
    before = time.process_time()
    assert (await local_model.complete(prompt("Hi", max_tokens=1))).tokens is not None
    assert time.process_time() - before < 5


async def test_a_text_that_is_too_long_is_told_as_such(provider: Provider) -> None:
    with pytest.raises(ContextTooLong) as refused:
        await provider.complete(prompt("alpha beta gamma " * 3000))
    assert "alpha" not in refused.value.detail
    with pytest.raises(ContextTooLong):
        await anext(provider.stream(prompt("alpha beta gamma " * 3000)))


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_bad_key_is_the_operators_business(name: str, local_model: LocalModel) -> None:
    async with connected(name, local_model, api_key="sk-wrong-key") as provider:
        with pytest.raises(ModelMisconfigured) as refused:
            await provider.complete(prompt("Hello"))
        assert refused.value.retryable is False
        assert "sk-wrong" not in refused.value.detail
        with pytest.raises(ModelMisconfigured):
            await anext(provider.stream(prompt("Hello")))


async def test_the_local_model_says_no_more_than_it_may(
    local_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_TOKENS == 512
    monkeypatch.setattr("promptforge.actors.ai.providers.local.MAX_TOKENS", 60)  # so many take half a minute
    ship = prompt("Write a long story about a ship. Never stop.", max_tokens=100_000, temperature=1.0, seed=3)
    count = 0
    async for item in local_model.stream(ship):
        if isinstance(item, End):
            assert item.tokens is not None
            assert (item.finish, item.tokens.output) == (Finish.LENGTH, 60)
        count += 1
    assert count <= 61


async def test_the_local_model_refuses_schemas_that_would_go_too_deep(local_model: LocalModel) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ModelRefused, match="nested"):
        await local_model.complete(prompt("Hello", schema=schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": list(range(1000))},
        {"type": "object", "properties": {f"property{number}": {} for number in range(400)}},
        {"type": "array", "items": {"type": "string"}, "minItems": 5000},
        {"type": "string", "minLength": 5000},
        {"type": "string", "pattern": "^a{2,5000}$"},
    ],
)
async def test_the_local_model_refuses_schemas_that_would_hold_up_its_thread_or_be_printed(
    local_model: LocalModel, schema: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelRefused, match="The schema"):
        await local_model.complete(prompt("Hello", max_tokens=1, schema=schema))
    assert capfd.readouterr().err == ""


async def test_the_local_model_takes_schemas_of_an_ordinary_size(local_model: LocalModel) -> None:
    inner = {"type": "object", "properties": {f"property{number}": {"type": "string"} for number in range(30)}}
    schema: dict[str, Any] = {"type": "object", "properties": {f"part{number}": inner for number in range(30)}}
    schema["properties"]["words"] = {"type": "array", "items": {"type": "string", "maxLength": 5000}, "maxItems": 5000}
    assert (await local_model.complete(prompt("Hello", max_tokens=2, schema=schema))).tokens is not None
