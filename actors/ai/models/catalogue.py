"""The models that this process can ask, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptforge.actors.ai.errors import NoModel, UnknownModel
from promptforge.actors.ai.messages import ModelView
from promptforge.actors.ai.models.domain import DEFAULT_CREDIT_MICROUSD, Price, Terms
from promptforge.actors.ai.providers.guarded import Guarded
from promptforge.core.amounts import MILLI, from_millicredits
from promptforge.core.errors import ConfigurationError

MAX_OUTPUT_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Model:
    """`tiny`: an answer of it says little about the prompt."""

    name: str
    provider: Guarded
    price: Price
    max_output_tokens: int = MAX_OUTPUT_TOKENS
    tiny: bool = False


class Catalogue:
    """`models`: the first is the default. Raises `ConfigurationError` where two share a name."""

    def __init__(self, models: Sequence[Model], *, credit_microusd: int = DEFAULT_CREDIT_MICROUSD) -> None:
        self._models = {model.name: model for model in models}
        if len(self._models) != len(models):
            raise ConfigurationError("LLM_MODEL names a model twice")
        self._credit_microusd = credit_microusd

    def find(self, name: str | None) -> Model:
        """The model of this name, or the default one. Raises `UnknownModel` or `NoModel`."""
        if not self._models:
            raise NoModel("No language model is configured here; an operator can change that (LLM_API_KEY)")
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            known = ", ".join(self._models)
            raise UnknownModel(f"There is no model {name!r} here; there is {known}", extra={"models": [*self._models]})
        return self._models[name]

    def terms(self, model: Model) -> Terms:
        return Terms(model.price, self._credit_microusd)

    def views(self) -> tuple[ModelView, ...]:
        return tuple(self._view(model, default=not number) for number, model in enumerate(self._models.values()))

    async def close(self) -> None:
        for provider in {id(model.provider): model.provider for model in self._models.values()}.values():
            await provider.close()

    def _view(self, model: Model, *, default: bool) -> ModelView:
        return ModelView(
            name=model.name,
            provider=model.provider.name,
            default=default,
            tiny=model.tiny,
            available=not model.provider.resting,
            input_credits_per_million=from_millicredits(model.price.input * MILLI // self._credit_microusd),
            output_credits_per_million=from_millicredits(model.price.output * MILLI // self._credit_microusd),
            input_microusd_per_million=model.price.input,
            output_microusd_per_million=model.price.output,
            max_output_tokens=model.max_output_tokens,
        )
