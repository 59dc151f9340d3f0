"""Which verifier the settings ask for, and how verified claims become a principal."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from promptforge.actors.partnerships.apps.messages import APP_ID_PREFIX, FindAppStanding, ResolveAppToken
from promptforge.actors.projects.messages import EnsurePersonalProject
from promptforge.actors.users.messages import EnsureUser, GetIdentity, Identity, IsApiKeyActive, ResolveApiKey
from promptforge.core.context import Context
from promptforge.core.credentials import APP_TOKEN
from promptforge.core.identity import Asker, Claims, DevelopmentVerifier, Principals, TokenVerifier
from promptforge.core.identity.tokens import RevokedToken
from promptforge.core.principal import STAFF, Principal
from promptforge.core.runtime import System
from promptforge.deploy.settings import Settings


def make_verifier(settings: Settings) -> TokenVerifier:
    """firebase-admin where there are credentials or an emulator; otherwise the development tokens."""
    if settings.google_application_credentials is None and settings.firebase_auth_emulator_host is None:
        return DevelopmentVerifier(settings.firebase_project_id)
    # The SDK looks for this by itself, and must find what the settings say.
    if settings.firebase_auth_emulator_host is None:
        os.environ.pop("FIREBASE_AUTH_EMULATOR_HOST", None)
    else:
        os.environ["FIREBASE_AUTH_EMULATOR_HOST"] = settings.firebase_auth_emulator_host
    # A second of imports, so only where it is used.
    from promptforge.core.identity.firebase import FirebaseVerifier  # noqa: PLC0415

    return FirebaseVerifier(
        settings.firebase_project_id,
        credentials_file=settings.google_application_credentials,
        emulated=settings.firebase_auth_emulator_host is not None,
    )


def provisioner(system: System) -> Callable[[Claims, Asker], Awaitable[Principal]]:
    """Finds the user behind verified claims, or makes one, with a personal project, at the first request."""

    async def provision(claims: Claims, asker: Asker) -> Principal:
        context = system.context(**asker._asdict(), trusted=True)
        message = EnsureUser(
            uid=claims.uid,
            email=claims.email,
            name=claims.name,
            roles=tuple(sorted(claims.roles)),
            as_of=claims.as_of,
        )
        identity = await context.ask(message)
        await context.ask(EnsurePersonalProject(user_id=identity.user_id))
        return _principal(identity)

    return provision


def key_finder(system: System) -> Callable[[str, Asker], Awaitable[tuple[Principal, float] | None]]:
    """Finds the principal of an API key or of an app's token, and when that expires."""

    async def find(key: str, asker: Asker) -> tuple[Principal, float] | None:
        context = system.context(**asker._asdict(), trusted=True)
        message = ResolveAppToken(token=key) if key.startswith(APP_TOKEN) else ResolveApiKey(key=key)
        found = await context.ask(message)
        if found is None:
            return None
        owner = _principal(found.identity)
        principal = replace(owner, scopes=frozenset(found.scopes), key_id=found.key_id, key_generation=found.generation)
        return principal, found.expires_at.timestamp()

    return find


def principal_finder(system: System) -> Callable[[str], Awaitable[Principal | None]]:
    """Reads a user's rights as they are now, for jobs that run as whoever enqueued them."""

    async def find(user_id: str) -> Principal | None:
        context = system.context(request_id="job-principal", trusted=True)
        identity = await context.ask(GetIdentity(user_id=user_id))
        return None if identity is None else _principal(identity)

    return find


def judging_again(system: System, principals: Principals) -> Callable[[Principal], Awaitable[Principal]]:
    """How somebody's rights stand now, where their token is not at hand."""
    find = principal_finder(system)

    async def judge(principal: Principal) -> Principal:
        await principals.check_account(principal.uid)
        now = await find(principal.user_id)
        if now is None:
            raise RevokedToken("This account is gone")
        if principal.key_id is not None:
            context = system.context(request_id="judged-again", trusted=True)
            if principal.key_id.startswith(APP_ID_PREFIX):
                await _expect_app(principal, context)
                now = replace(now, roles=now.roles - STAFF)
            elif not await context.ask(IsApiKeyActive(key_id=principal.key_id, user_id=principal.user_id)):
                raise RevokedToken("This API key may not act any more")
        return replace(now, scopes=principal.scopes, key_id=principal.key_id, key_generation=principal.key_generation)

    return judge


async def _expect_app(principal: Principal, context: Context) -> None:
    """Raises `RevokedToken` where the app may not act, or its secret has leaked since."""
    asked = FindAppStanding(app_id=principal.key_id or "", owner_id=principal.user_id)
    standing = await context.ask(asked)
    if standing is None or standing.generation != principal.key_generation:
        raise RevokedToken("This app may not act any more")


def _principal(identity: Identity) -> Principal:
    """Who is suspended may look at what is their own, and has no rights over what is others'."""
    roles = frozenset(identity.roles)
    return Principal(
        user_id=identity.user_id,
        uid=identity.uid,
        roles=roles - STAFF if identity.suspended else roles,
        suspended=identity.suspended,
    )
