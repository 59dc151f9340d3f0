"""Firebase ID tokens, verified by firebase-admin: signature, audience, issuer, expiry; and their sessions, by asking.

With `FIREBASE_AUTH_EMULATOR_HOST` set, the SDK trusts unsigned tokens and checks no expiry: the settings refuse that in
production, and the expiry is checked here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import firebase_admin
import requests
from firebase_admin import auth, credentials, exceptions
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from promptforge.core.errors import ConfigurationError
from promptforge.core.identity.certificates import Certificates
from promptforge.core.identity.tokens import (
    ROLES,
    Claims,
    ExpiredToken,
    IdentityUnavailable,
    InvalidToken,
    RevokedToken,
    claims_from,
    roles_from,
)
from promptforge.core.principal import Role

HTTP_TIMEOUT_SECONDS = 5
MAX_VERIFICATIONS = 4
"""Verifying costs 0.65 ms of CPU and sometimes a download of certificates: off the event loop, a few at a time."""
MAX_LOOK_UPS = 8
MAX_WRITES = 2
LOOK_UP_SECONDS = 3.0
"""The SDK tries again for up to half a minute; nobody waits so long for an answer."""

AS_OF_SECONDS = 300
"""What Firebase says counts until the next five minutes have begun: so who is asked about every minute is written down
every five, and no token from before can say otherwise should Firebase be away by then."""

_INVALID = (ValueError, TypeError, KeyError, AttributeError, RecursionError, exceptions.FirebaseError, GoogleAuthError)
"""What crafted tokens make the SDK raise, beside its own errors."""
_NO_ANSWER = (exceptions.FirebaseError, GoogleAuthError, requests.RequestException, ValueError)
"""Whatever goes wrong while asking (no network, no permission, a quota) says nothing about the session."""


class FirebaseVerifier:
    """One firebase-admin app; `close` it before making another of the same name."""

    def __init__(
        self,
        project_id: str,
        *,
        credentials_file: Path | None = None,
        emulated: bool = False,
        certificates: Certificates | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`credentials_file` is a service account's JSON; the emulator needs none. Raises `ConfigurationError`."""
        self._now = now
        self._certificates = None if emulated else certificates or Certificates()
        self._limiters: tuple[anyio.CapacityLimiter, ...] | None = None
        try:
            credential = credentials.Certificate(str(credentials_file)) if credentials_file else None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the Firebase credentials cannot be used: {error}") from None
        if credential is None and not emulated:
            raise ConfigurationError("GOOGLE_APPLICATION_CREDENTIALS must name a service account's JSON file")
        options = {"projectId": project_id, "httpTimeout": HTTP_TIMEOUT_SECONDS}
        self._app = firebase_admin.initialize_app(credential, options, name=f"promptforge-{id(self)}")
        if self._certificates is not None:
            # Its own transport never fetches early, and the SDK has no public way to give it another.
            auth._get_client(self._app)._token_verifier.request = self._certificates  # noqa: SLF001

    async def verify(self, token: str) -> Claims:
        """See `TokenVerifier.verify`."""
        return await anyio.to_thread.run_sync(self._verify, token, limiter=self._limiter(0))

    async def check_session(self, claims: Claims) -> Claims:
        """See `TokenVerifier.check_session`. No answer within `LOOK_UP_SECONDS` is none."""
        user, asked_at = await self._look_up(claims.uid)
        if claims.issued_at * 1000 < user.tokens_valid_after_timestamp:
            raise RevokedToken
        return replace(
            claims, email=user.email or claims.email, roles=_roles_of(user), as_of=max(claims.as_of, asked_at)
        )

    async def find_account(self, uid: str) -> Claims | None:
        """See `TokenVerifier.find_account`."""
        user, asked_at = await self._look_up(uid)
        return Claims(uid, user.email, user.display_name, _roles_of(user), asked_at, math.inf, asked_at)

    async def disable_account(self, uid: str) -> None:
        """See `TokenVerifier.disable_account`. What came of it may be unknown: it can be done again."""
        with anyio.move_on_after(LOOK_UP_SECONDS):
            await anyio.to_thread.run_sync(self._disable_user, uid, limiter=self._limiter(1), abandon_on_cancel=True)
            return
        raise IdentityUnavailable("Nobody answered in time whether this account is disabled")

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        """See `TokenVerifier.put_roles`.

        It is waited for to the end, half a minute at most, also by who is cancelled meanwhile: a thread that is left to
        itself could write after a newer one. What has not begun by then never does.
        """
        await anyio.to_thread.run_sync(self._put_roles, uid, list(roles), limiter=self._limiter(2))

    async def _look_up(self, uid: str) -> tuple[Any, float]:  # Any: the SDK's UserRecord, which has no types
        """The account, and as of when. Raises `RevokedToken` where it is disabled or gone."""
        as_of = math.ceil(self._now() / AS_OF_SECONDS) * AS_OF_SECONDS
        with anyio.move_on_after(LOOK_UP_SECONDS):
            user = await anyio.to_thread.run_sync(self._get_user, uid, limiter=self._limiter(1), abandon_on_cancel=True)
            return user, as_of
        raise IdentityUnavailable("Nobody answered in time whether this account goes on")

    def _limiter(self, which: Literal[0, 1, 2]) -> anyio.CapacityLimiter:
        if self._limiters is None:  # not in __init__: an event loop has to run
            sizes = MAX_VERIFICATIONS, MAX_LOOK_UPS, MAX_WRITES
            self._limiters = tuple(anyio.CapacityLimiter(size) for size in sizes)
        return self._limiters[which]

    def _verify(self, token: str) -> Claims:
        try:
            if self._certificates is not None:
                _expect_key(self._certificates, token)
            payload = auth.verify_id_token(token, self._app)
        except auth.ExpiredIdTokenError:
            raise ExpiredToken from None
        except _INVALID:
            raise InvalidToken from None
        return claims_from(payload, now=self._now())

    def _get_user(self, uid: str) -> Any:  # Any: as above
        try:
            user = auth.get_user(uid, self._app)
        except auth.UserNotFoundError:
            raise RevokedToken("The account is gone") from None
        except _NO_ANSWER as error:
            raise IdentityUnavailable from error
        if user.disabled:
            raise RevokedToken("The account is disabled")
        return user

    def _disable_user(self, uid: str) -> None:
        """Whoever comes back with this account once it is enabled again is somebody new, with a user's rights."""
        try:
            claims = auth.get_user(uid, self._app).custom_claims or {}
            changes = {"custom_claims": _with_roles(claims, None)} if ROLES in claims else {}
            auth.update_user(uid, disabled=True, app=self._app, **changes)
        except auth.UserNotFoundError:
            return
        except _NO_ANSWER as error:
            raise IdentityUnavailable from error

    def _put_roles(self, uid: str, roles: list[str]) -> None:
        try:
            claims = auth.get_user(uid, self._app).custom_claims or {}
            if claims.get(ROLES) != roles:
                auth.set_custom_user_claims(uid, _with_roles(claims, roles), self._app)
        except auth.UserNotFoundError:
            return
        except _NO_ANSWER as error:
            raise IdentityUnavailable(f"Firebase does not take the roles: {type(error).__name__}") from error

    def close(self) -> None:
        """Forget the SDK's app."""
        firebase_admin.delete_app(self._app)


def _roles_of(user: Any) -> frozenset[Role]:  # Any: as above
    return roles_from((user.custom_claims or {}).get(ROLES))


def _with_roles(claims: Mapping[str, Any], roles: list[str] | None) -> dict[str, Any]:  # Any: JSON claims
    """All that others have written stays."""
    others = {name: value for name, value in claims.items() if name != ROLES}
    return others if roles is None else {**others, ROLES: roles}


def _expect_key(certificates: Certificates, token: str) -> None:
    key_id = jwt.decode_header(token).get("kid")  # type: ignore[no-untyped-call]  # google-auth has no types here
    if isinstance(key_id, str):
        certificates.expect(key_id)
