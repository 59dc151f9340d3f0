"""Which verifier the settings ask for, and how verified claims become a principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from promptforge.actors.users.messages import EnsureUser, GetIdentity, Identity, ResolveApiKey
from promptforge.core.identity import Claims, DevelopmentVerifier, TokenVerifier
from promptforge.core.principal import Principal
from promptforge.core.runtime import System
from promptforge.deploy.settings import Settings


def make_verifier(settings: Settings) -> TokenVerifier:
    """firebase-admin where there are credentials or an emulator; otherwise the development tokens."""
    if settings.google_application_credentials is None and settings.firebase_auth_emulator_host is None:
        return DevelopmentVerifier(settings.firebase_project_id)
    # A second of imports, so only where it is used.
    from promptforge.core.identity.firebase import FirebaseVerifier  # noqa: PLC0415

    return FirebaseVerifier(
        settings.firebase_project_id,
        credentials_file=settings.google_application_credentials,
        emulated=settings.firebase_auth_emulator_host is not None,
    )


def provisioner(system: System) -> Callable[[Claims], Awaitable[Principal]]:
    """Finds the user behind verified claims, or makes one at the first request."""

    async def provision(claims: Claims) -> Principal:
        context = system.context(request_id="sign-in", trusted=True)
        message = EnsureUser(uid=claims.uid, email=claims.email, name=claims.name, roles=tuple(sorted(claims.roles)))
        return _principal(await context.ask(message), claims.uid)

    return provision


def key_finder(system: System) -> Callable[[str], Awaitable[tuple[Principal, float] | None]]:
    """Finds the principal of an API key, and when the key expires."""

    async def find(key: str) -> tuple[Principal, float] | None:
        found = await system.context(request_id="sign-in", trusted=True).ask(ResolveApiKey(key=key))
        if found is None:
            return None
        owner = _principal(found.identity, "")
        principal = replace(owner, scopes=frozenset(found.scopes), key_id=found.key_id)
        return principal, found.expires_at.timestamp()

    return find


def principal_finder(system: System) -> Callable[[str], Awaitable[Principal | None]]:
    """Reads a user's rights as they are now, for jobs that run as whoever enqueued them."""

    async def find(user_id: str) -> Principal | None:
        context = system.context(request_id="job-principal", trusted=True)
        identity = await context.ask(GetIdentity(user_id=user_id))
        return None if identity is None else _principal(identity, "")

    return find


def _principal(identity: Identity, uid: str) -> Principal:
    return Principal(user_id=identity.user_id, uid=uid, roles=frozenset(identity.roles), suspended=identity.suspended)
