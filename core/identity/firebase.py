"""Firebase ID tokens, verified by firebase-admin: signature, audience, issuer, expiry, and revocation on request.

With `FIREBASE_AUTH_EMULATOR_HOST` set, the SDK trusts unsigned tokens and checks no expiry: the settings refuse that in
production, and the expiry is checked here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import firebase_admin
import requests.exceptions
from firebase_admin import auth, credentials, exceptions
from google.auth.exceptions import GoogleAuthError, TransportError

from promptforge.core.errors import ConfigurationError
from promptforge.core.identity.tokens import (
    Claims,
    ExpiredToken,
    IdentityUnavailable,
    InvalidToken,
    RevokedToken,
    claims_from,
)

HTTP_TIMEOUT_SECONDS = 5
MAX_THREADS = 4
"""Verifying costs 0.65 ms of CPU and sometimes a download of certificates: off the event loop, a few at a time."""

_OUTAGES = (
    auth.CertificateFetchError,
    TransportError,
    requests.exceptions.RequestException,
    exceptions.UnavailableError,
    exceptions.DeadlineExceededError,
)
_INVALID = (ValueError, TypeError, KeyError, AttributeError, RecursionError, exceptions.FirebaseError, GoogleAuthError)
"""What crafted tokens make the SDK raise, beside its own errors."""


class FirebaseVerifier:
    """One firebase-admin app; `close` it before making another of the same name."""

    def __init__(
        self,
        project_id: str,
        *,
        credentials_file: Path | None = None,
        emulated: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`credentials_file` is a service account's JSON; the emulator needs none. Raises `ConfigurationError`."""
        self._now = now
        self._limiter: anyio.CapacityLimiter | None = None
        try:
            credential = credentials.Certificate(str(credentials_file)) if credentials_file else None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the Firebase credentials cannot be used: {error}") from None
        if credential is None and not emulated:
            raise ConfigurationError("GOOGLE_APPLICATION_CREDENTIALS must name a service account's JSON file")
        options = {"projectId": project_id, "httpTimeout": HTTP_TIMEOUT_SECONDS}
        self._app = firebase_admin.initialize_app(credential, options, name=f"promptforge-{id(self)}")

    async def verify(self, token: str, *, check_revoked: bool = False) -> Claims:
        """See `TokenVerifier.verify`."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(MAX_THREADS)
        work = partial(self._verify, token, check_revoked=check_revoked)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _verify(self, token: str, *, check_revoked: bool) -> Claims:
        try:
            payload = auth.verify_id_token(token, self._app, check_revoked=check_revoked)
        except _OUTAGES as error:
            raise IdentityUnavailable from error
        except auth.ExpiredIdTokenError:
            raise ExpiredToken from None
        except (auth.RevokedIdTokenError, auth.UserDisabledError):
            raise RevokedToken from None
        except _INVALID:
            raise InvalidToken from None
        return claims_from(payload, now=self._now())

    def close(self) -> None:
        """Forget the SDK's app."""
        firebase_admin.delete_app(self._app)
