"""Where the sandbox must not be: in production, on an address that others reach, beside a database of real payments."""

from __future__ import annotations

import ipaddress

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo import Mongo

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def refuse_production(*, production: bool) -> None:
    """Raises `ConfigurationError`."""
    if production:
        raise ConfigurationError("the Stripe sandbox does not run with ENVIRONMENT=production: set STRIPE_SECRET_KEY")


def refuse_other_hosts(host: str) -> None:
    """Raises `ConfigurationError`: in the sandbox anybody can pay without money."""
    if host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(f"the Stripe sandbox listens on loopback only, not on {host}")


async def refuse_live_events(mongo: Mongo) -> None:
    """Raises `ConfigurationError` for a database that knows of real payments: made-up ones must not mix with them."""
    if await mongo.collection("webhook_events").find_one({"livemode": True}, {"_id": 1}) is not None:
        raise ConfigurationError(
            "this database holds live Stripe events, so the Stripe sandbox will not run on it: set STRIPE_SECRET_KEY"
        )


def is_local(host_header: str) -> bool:
    """Whether a request was made to this machine by its name: another name could be a page's that means no good."""
    name = host_header.rsplit(":", 1)[0] if not host_header.endswith("]") else host_header
    return name.lower() in LOOPBACK_NAMES
