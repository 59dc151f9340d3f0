"""Every setting of the process: one frozen object, built once, checked before anything else happens.

Nothing else reads the environment. Secrets are `SecretStr`: they show in no log, no repr and no report.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from promptforge.core.errors import ConfigurationError
from promptforge.deploy.prices import price_faults

DEMO_PROJECT = "demo-promptforge"
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_PRICE = re.compile(r"([0-9]{1,12})/([0-9]{1,12})")


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LlmProvider(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    LOCAL = "local"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


def default_data_directory(environment: Mapping[str, str]) -> Path:
    """Where development keeps its database and keys: the user's data directory (XDG Base Directory)."""
    base = environment.get("XDG_DATA_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / "promptforge"


class Settings(BaseSettings):
    """The names are those of the environment variables, in upper case; the description is what `doctor` prints."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", populate_by_name=True)

    environment: Environment = Field(Environment.DEVELOPMENT, description="development or production")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    log_level: str = Field(
        "info", pattern="(?i)^(debug|info|warning|error|critical)$", description="Least level logged"
    )
    allowed_origin: CommaSeparated = Field((), description="Origins a browser may call from, comma separated")
    public_url: str | None = Field(None, pattern=r"^https?://[^\s/]+$", description="Where people reach the service")
    trusted_proxies: int = Field(0, ge=0, le=5, description="How many proxies stand in front and set X-Forwarded-For")
    rate_limits: CommaSeparated = Field(
        (), description="Budgets other than usual: default=100/minute, sign-in=30/minute"
    )
    grace_seconds: float = Field(20.0, gt=0, le=600, description="How long a stop may take")

    mongo_url: SecretStr | None = Field(None, description="MongoDB (a replica set); without it an embedded mongod")
    mongo_db: str = Field("promptforge", pattern=r"^[A-Za-z0-9_-]{1,60}$", description="Database name")
    data_dir: Path = Field(
        default_factory=lambda: default_data_directory(os.environ),
        validation_alias=AliasChoices("data_dir", "promptforge_data_dir"),
        description="Where the embedded mongod and development keys live (PROMPTFORGE_DATA_DIR)",
    )
    promptforge_mongod: Path | None = Field(None, description="The mongod binary to embed")

    secret_key: Secrets = Field((), description="Root of derived keys, comma separated for rotation")
    firebase_project_id: str = Field(DEMO_PROJECT, min_length=1, description="Firebase project of the tokens")
    google_application_credentials: Path | None = Field(None, description="Service account JSON for Firebase")
    firebase_auth_emulator_host: str | None = Field(None, description="Firebase Auth emulator, host:port")

    stripe_secret_key: SecretStr | None = Field(None, description="Stripe API key")
    stripe_api_base: str | None = Field(
        None, pattern=r"^https?://[^\s/]+$", description="A Stripe sandbox to speak to instead of Stripe"
    )
    stripe_webhook_secret: Secrets = Field((), description="Stripe webhook secrets, comma separated for rotation")
    stripe_connect_webhook_secret: Secrets = Field((), description="Webhook secrets of the Connect endpoint")
    stripe_tax: bool = Field(False, description="Stripe Tax adds the buyer's tax; set it up in Stripe first")
    platform_fee_bp: int = Field(1500, ge=0, le=10_000, description="The platform's share of a sale in basis points")
    partner_commission_max_bp: int = Field(
        500, ge=0, le=10_000, description="The most that a partner gets of a sale, out of the fee, in basis points"
    )

    credit_packs: CommaSeparated = Field(
        ("pack_500=500+0/500usd", "pack_1000=1000+25/1000usd", "pack_5000=5000+250/5000usd"),
        description="Credit packs for sale: name=CREDITS+BONUS/PRICE in minor units and currency, comma separated",
    )
    subscription_plans: CommaSeparated = Field(
        ("monthly_1000=1000+50/1000usd", "monthly_5000=5000+250/5000usd"),
        description="The same for what comes every month",
    )
    payout_rates: CommaSeparated = Field(
        ("usd=1/1",), description="What credits pay out: currency=MINOR_UNITS/CREDITS, comma separated; usd is needed"
    )
    exchange_rates: CommaSeparated = Field(
        (),
        description="What money is worth: currency=MINOR_UNITS/US_CENTS, of all that is paid with but usd",
    )
    payout_minimum_credits: int = Field(1000, ge=1, le=10**9, description="The least payout in credits")
    bank_details_hold_hours: int = Field(
        72, ge=0, le=8760, description="How many hours old bank details must be for a payout"
    )

    settlement_days: int = Field(7, ge=0, le=365, description="Days until a sale of an established seller settles")
    settlement_days_new_seller: int = Field(30, ge=0, le=365, description="Days until a sale of a new seller settles")
    established_seller_days: int = Field(
        90, ge=0, le=3650, description="A seller is established once a settled sale of theirs is so many days old"
    )
    rolling_reserve_bp: int = Field(
        0, ge=0, le=10_000, description="The part of each sale that settles later than the rest, in basis points"
    )
    rolling_reserve_days: int = Field(90, ge=0, le=365, description="How many days later it settles")

    account_deletion_days: int = Field(
        30, ge=0, le=90, description="Days in which somebody can take back that their account is to be deleted"
    )
    grant_expiry_days: int = Field(365, ge=0, le=3650, description="Days until granted credits expire; 0: never")
    sealed_copy_letters: int = Field(
        60, ge=24, le=1000, description="How many letters in a row an output may not copy of a sealed prompt"
    )
    sealed_copy_percent: int = Field(
        25, ge=5, le=100, description="How much of a sealed prompt an output, or several together, may not copy"
    )

    moderation_claim_minutes: int = Field(
        30, ge=1, le=1440, description="How long a moderator's claim on a case counts that nobody prolongs"
    )

    appeal_days: int = Field(
        184, ge=1, le=3650, description="How many days a decision can be appealed; the law of the EU wants six months"
    )

    moderation_terms_file: Path | None = Field(
        None, description="A list of banned terms in the place of the one that comes with the service"
    )

    moderation_llm_model: str | None = Field(
        None, description="Which language model recommends to moderators what to decide; without it none does"
    )
    moderation_llm_daily_credits: int = Field(
        100, ge=0, le=10**6, description="What the platform pays for such recommendations in a day (UTC), at most"
    )

    package_storage_mib: int = Field(
        2048, ge=16, le=1024**2, description="MiB of published packages that one publisher may have"
    )
    package_trusted_keys: CommaSeparated = Field(
        (), description="Public keys in base64 of others whose packages may be installed here, comma separated"
    )

    llm_provider: LlmProvider | None = Field(None, description="openai, anthropic or local")
    llm_api_key: SecretStr | None = Field(None, description="The language model provider's API key")
    llm_model: CommaSeparated = Field((), description="Its models, comma separated; the first is the default")
    llm_base_url: str | None = Field(
        None, pattern=r"^https?://[^\s]+$", description="Another server that speaks the provider's protocol"
    )
    llm_prices: CommaSeparated = Field(
        (), description="Microdollars for a million tokens in and out: model=250000/2000000, comma separated"
    )
    llm_credit_microusd: int = Field(
        10_000, ge=1, le=10**9, description="Microdollars of a language model's price that one credit pays"
    )
    metrics_token: SecretStr | None = Field(None, description="Bearer token for scraping /metrics")
    webhook_local_hosts: CommaSeparated = Field(
        (), description="Hosts that users' webhooks may name though they are private, also without TLS, comma separated"
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server: smtp://user:password@host:587 (STARTTLS) or smtps://; without it there is no mail",
    )
    mail_from: str | None = Field(None, max_length=320, description="Whom mails are from: Name <who@example.com>")

    failpoints: CommaSeparated = Field(
        (), description="For tests: points at which the process kills itself, name or name:3, comma separated"
    )

    redis_url: SecretStr | None = Field(None, description="Must not be set: this service uses no Redis")

    @property
    def production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @property
    def emulated_identity(self) -> bool:
        """Unsigned development tokens (or the Firebase emulator's) are accepted."""
        return self.firebase_auth_emulator_host is not None or self.google_application_credentials is None

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_settings(**overrides: Any) -> Settings:  # Any: values by field name, validated like the environment's
    """Read the environment; `overrides` (from the command line) win. Raises `ConfigurationError` in one line."""
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(_problem(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False))
        raise ConfigurationError(problems) from None
    found = faults(settings)
    if found:
        raise ConfigurationError("; ".join(found))
    return settings


def _problem(location: tuple[int | str, ...], message: str) -> str:
    return f"{str(location[0]).upper() if location else 'settings'}: {message}"


def faults(settings: Settings) -> list[str]:
    """Every combination that must not start, each as one sentence that says what to do."""
    found = llm_faults(settings) + _stripe_faults(settings) + price_faults(settings) + _package_faults(settings)
    if settings.redis_url is not None:
        found.append("REDIS_URL is set, and this service uses no Redis: remove it")
    if settings.production:
        found += _production_faults(settings)
    elif settings.emulated_identity and not settings.loopback:
        found.append(
            f"HOST is {settings.host}, but without Firebase credentials anyone could sign in as anybody: "
            "listen on 127.0.0.1, or set GOOGLE_APPLICATION_CREDENTIALS"
        )
    return found


def _stripe_faults(settings: Settings) -> list[str]:
    """A sandbox must be told a key, and never a live one."""
    if settings.stripe_api_base is None:
        return []
    key = settings.stripe_secret_key
    if key is None:
        return ["STRIPE_API_BASE is set: say with STRIPE_SECRET_KEY which key the sandbox there takes"]
    if not key.get_secret_value().startswith("sk_test_"):
        return ["STRIPE_API_BASE is set, so STRIPE_SECRET_KEY must be a test key: live keys go to Stripe only"]
    return []


def _package_faults(settings: Settings) -> list[str]:
    return [
        f"PACKAGE_TRUSTED_KEYS: {key[:60]!r} is not a public key, 32 bytes in base64"
        for key in settings.package_trusted_keys
        if not _PUBLIC_KEY.fullmatch(key)
    ]


def llm_prices(settings: Settings) -> dict[str, tuple[int, int]]:
    """Model → price of a million tokens in and out, in microdollars. Raises `ConfigurationError` in one line."""
    prices = {}
    for entry in settings.llm_prices:
        name, _, amounts = entry.rpartition("=")
        given = _PRICE.fullmatch(amounts)
        if not name or given is None:
            raise ConfigurationError(f"LLM_PRICES: {entry!r} is not model=250000/2000000 (microdollars, in and out)")
        prices[name] = (int(given[1]), int(given[2]))
    return prices


def llm_is_remote(settings: Settings) -> bool:
    """Whether a provider is asked; without its key (or an address of one's own) there is only the local model."""
    given = settings.llm_api_key is not None or settings.llm_base_url is not None
    return given and settings.llm_provider is not LlmProvider.LOCAL


def llm_faults(settings: Settings) -> list[str]:
    """What is wrong with the language models' settings."""
    try:
        prices = llm_prices(settings)
    except ConfigurationError as error:
        return [error.detail]
    found = []
    if settings.llm_provider in {LlmProvider.OPENAI, LlmProvider.ANTHROPIC} and not llm_is_remote(settings):
        found.append(f"LLM_PROVIDER is {settings.llm_provider}, which needs LLM_API_KEY (or LLM_BASE_URL)")
    if llm_is_remote(settings):
        if not settings.llm_model:
            found.append("LLM_API_KEY or LLM_BASE_URL is set: say with LLM_MODEL which models to ask for")
        found += [
            f"LLM_PRICES has no price of {name}: add {name}=IN/OUT in microdollars per million tokens (0/0 is free)"
            for name in settings.llm_model
            if name not in prices
        ]
        if settings.moderation_llm_model not in {None, *settings.llm_model}:
            found.append(f"MODERATION_LLM_MODEL is {settings.moderation_llm_model}, which LLM_MODEL does not name")
    return found


def _production_faults(settings: Settings) -> list[str]:
    found = []
    if settings.failpoints:
        found.append("FAILPOINTS is set in production: it kills the process, remove it")
    if settings.firebase_auth_emulator_host is not None:
        found.append("FIREBASE_AUTH_EMULATOR_HOST is set in production, where unsigned tokens must not pass: remove it")
    if settings.google_application_credentials is None:
        found.append("production needs GOOGLE_APPLICATION_CREDENTIALS: development tokens are refused there")
    if settings.firebase_project_id == DEMO_PROJECT:
        found.append("production needs FIREBASE_PROJECT_ID")
    if settings.mongo_url is None:
        found.append("production needs MONGO_URL: the embedded mongod is for development")
    if not settings.secret_key:
        found.append("production needs SECRET_KEY")
    if settings.stripe_secret_key is None:
        found.append("production needs STRIPE_SECRET_KEY: the Stripe sandbox is for development")
    if settings.stripe_api_base is not None:
        found.append("STRIPE_API_BASE is set in production, where payments must be Stripe's own: remove it")
    return found
