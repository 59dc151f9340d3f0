"""Which language models a process has, by its settings."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from promptforge.actors.ai.errors import NoModel
from promptforge.actors.ai.providers import local
from promptforge.core.errors import ConfigurationError
from promptforge.deploy.models import LOCAL_PRICE, build_catalogue, describe
from promptforge.deploy.settings import Settings, llm_faults, llm_prices

REMOTE = {"llm_api_key": "sk-secret", "llm_model": "big, small", "llm_prices": "big=3000000/15000000,small=1/2"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROVIDER", "API_KEY", "MODEL", "BASE_URL", "PRICES", "CREDIT_MICROUSD"):
        monkeypatch.delenv(f"LLM_{name}", raising=False)


def settings(**fields: Any) -> Settings:
    return Settings(**fields)


def test_the_models_of_a_provider_in_the_order_of_the_setting() -> None:
    chosen = settings(**REMOTE, llm_provider="anthropic")
    assert llm_faults(chosen) == []
    views = build_catalogue(chosen).views()
    assert [(view.name, view.provider, view.default, view.tiny) for view in views] == [
        ("big", "anthropic", True, False),
        ("small", "anthropic", False, False),
    ]
    assert (views[0].input_credits_per_million, views[0].output_credits_per_million) == ("300", "1500")
    assert "sk-secret" not in repr(chosen) + describe(chosen)


def test_without_a_key_there_is_the_local_model_and_it_says_that_it_is_tiny() -> None:
    chosen = settings()
    (view,) = build_catalogue(chosen).views()
    assert (view.name, view.provider, view.tiny, view.max_output_tokens) == (
        local.MODEL,
        "local",
        True,
        local.MAX_TOKENS,
    )
    assert (view.input_microusd_per_million, view.output_microusd_per_million) == (0, 0)
    assert "tiny" in describe(chosen)


def test_the_local_model_is_free_to_try_and_has_a_price_in_production() -> None:
    (view,) = build_catalogue(settings(environment="production", llm_provider="local")).views()
    assert (view.input_microusd_per_million, view.output_microusd_per_million) == LOCAL_PRICE
    (view,) = build_catalogue(settings(llm_prices=f"{local.MODEL}=100/200")).views()
    assert (view.input_microusd_per_million, view.output_microusd_per_million) == (100, 200)


def test_production_sells_no_tiny_model_unless_it_is_told_to() -> None:
    with pytest.raises(NoModel, match="LLM_API_KEY"):
        build_catalogue(settings(environment="production")).find(None)
    assert "none" in describe(settings(environment="production"))
    assert build_catalogue(settings(environment="production", llm_provider="local")).find(None).tiny


def test_a_server_of_ones_own_needs_no_key() -> None:
    own = settings(llm_base_url="http://127.0.0.1:11434/v1", llm_model="llama3:8b", llm_prices="llama3:8b=0/0")
    assert llm_faults(own) == []
    assert build_catalogue(own).find(None).name == "llama3:8b"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"llm_api_key": "k", "llm_model": "big"}, "no price of big"),
        ({"llm_api_key": "k"}, "LLM_MODEL"),
        ({"llm_provider": "anthropic"}, "needs LLM_API_KEY"),
        ({"llm_prices": "big"}, "'big' is not model=250000/2000000"),
        ({"llm_prices": "big=1/-2"}, "is not model="),
        ({"llm_prices": "=1/2"}, "is not model="),
    ],
)
def test_what_is_wrong_is_said_in_one_line(fields: dict[str, Any], said: str) -> None:
    (fault,) = llm_faults(settings(**fields))
    assert said in fault
    assert "\n" not in fault


def test_names_of_models_may_hold_what_they_like() -> None:
    assert llm_prices(settings(llm_prices="org/a=b:8b=5/6")) == {"org/a=b:8b": (5, 6)}


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        build_catalogue(settings(**{**REMOTE, "llm_model": "big,big"}))


def test_the_sdks_and_the_model_are_imported_when_they_are_first_used() -> None:
    script = (
        "import sys; import promptforge.deploy.service; "
        "print(sorted({'openai', 'anthropic', 'xllamacpp', 'httpx2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"
