"""Every provider of language models, each with a real model behind it: the local one, and its server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from promptforge.actors.ai.providers.anthropic_messages import AnthropicMessages
from promptforge.actors.ai.providers.interface import Provider
from promptforge.actors.ai.providers.local import LocalModel
from promptforge.actors.ai.providers.openai_compatible import OpenAICompatible

PROVIDERS = ("openai", "anthropic", "local")


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """One for all tests, as a process has one: loading it takes most of a second and 200 MB."""
    model = LocalModel()
    yield model
    anyio.run(model.close)


@asynccontextmanager
async def connected(name: str, model: LocalModel, *, api_key: str | None = None) -> AsyncIterator[Provider]:
    """The provider of this name, speaking to the model; the local one speaks to it directly."""
    key = api_key or model.api_key
    if name == "local":
        yield model
        return
    address = await model.address()
    made: Provider = AnthropicMessages(key, base_url=address)
    if name == "openai":
        made = OpenAICompatible(key, base_url=f"{address}/v1")
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest, local_model: LocalModel) -> AsyncIterator[Provider]:
    async with connected(request.param, local_model) as made:
        yield made
