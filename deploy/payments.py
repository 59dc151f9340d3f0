"""Which Stripe the process speaks to: Stripe's own, or where no key is set, a sandbox in this process."""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from pydantic import SecretStr

from promptforge.core.errors import ConfigurationError
from promptforge.deploy.sandbox.guard import refuse_production
from promptforge.deploy.settings import Settings

if TYPE_CHECKING:
    from promptforge.deploy.sandbox.deliveries import Endpoint

WEBHOOK_PATH = "/api/v1/webhooks/stripe"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the sandbox and the service agree on: those that are set, and made-up ones for the others."""

    api: SecretStr
    platform: tuple[SecretStr, ...]
    connect: tuple[SecretStr, ...]

    def endpoints(self, url: str) -> tuple[Endpoint, ...]:
        from promptforge.deploy.sandbox.deliveries import Endpoint  # noqa: PLC0415

        return (
            Endpoint(url, self.platform[0].get_secret_value()),
            Endpoint(url, self.connect[0].get_secret_value(), connect=True),
        )


def _keys(settings: Settings) -> Keys:
    def made() -> tuple[SecretStr, ...]:
        return (SecretStr(f"whsec_{secrets.token_hex(16)}"),)

    return Keys(
        settings.stripe_secret_key or SecretStr(f"sk_test_{secrets.token_hex(16)}"),
        settings.stripe_webhook_secret or made(),
        settings.stripe_connect_webhook_secret or made(),
    )


@asynccontextmanager
async def open_payments(settings: Settings, *, port: int) -> AsyncIterator[Settings]:
    """The settings that say where Stripe is. `port`: where this service is about to listen, for the sandbox's events.

    The sandbox has a loopback port of its own: what it must not do (be reached from elsewhere, share the service's
    limits, middleware and documentation) then needs no rule. Its state goes with the process.
    """
    if settings.stripe_secret_key is not None:
        yield settings
        return
    refuse_production(production=settings.production)
    # Not imported where it is not used: production never loads it.
    from promptforge.deploy.sandbox.sandbox import SandboxSettings, open_sandbox  # noqa: PLC0415

    keys = _keys(settings)
    # A service that listens beyond loopback listens on all addresses, or cannot be reached by its sandbox.
    host = settings.host if settings.loopback else "127.0.0.1"
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{WEBHOOK_PATH}"
    made = SandboxSettings(api_key=keys.api.get_secret_value(), endpoints=keys.endpoints(url), pending_seconds=0)
    async with open_sandbox(made) as sandbox:
        yield settings.model_copy(
            update={
                "stripe_secret_key": keys.api,
                "stripe_api_base": sandbox.url,
                "stripe_webhook_secret": keys.platform,
                "stripe_connect_webhook_secret": keys.connect,
            }
        )


def run_sandbox(settings: Settings, *, port: int, webhook_url: str | None) -> None:
    """Serve a sandbox by itself until a signal. Raises `ConfigurationError`."""
    refuse_production(production=settings.production)
    keys = _keys(settings)
    if not keys.api.get_secret_value().startswith("sk_test_"):
        raise ConfigurationError("STRIPE_SECRET_KEY is not a test key (sk_test_…): a sandbox takes no other")
    anyio.run(_run_sandbox, keys, port, webhook_url)


async def _run_sandbox(keys: Keys, port: int, webhook_url: str | None) -> None:
    from promptforge.deploy.sandbox.sandbox import SandboxSettings, open_sandbox  # noqa: PLC0415

    endpoints = keys.endpoints(webhook_url) if webhook_url else ()
    settings = SandboxSettings(api_key=keys.api.get_secret_value(), endpoints=endpoints)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_sandbox(settings, port=port) as sandbox:
            lines = (
                f"Stripe sandbox (no money moves)  {sandbox.url}",
                f"STRIPE_API_BASE={sandbox.url}",
                f"STRIPE_SECRET_KEY={settings.api_key}",
                f"STRIPE_WEBHOOK_SECRET={keys.platform[0].get_secret_value()}",
                f"STRIPE_CONNECT_WEBHOOK_SECRET={keys.connect[0].get_secret_value()}",
            )
            sys.stdout.write("\n".join([*lines, ""]))
            sys.stdout.flush()
            async for _ in signals:
                return
