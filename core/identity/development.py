"""Sign-in without Firebase, for development: unsigned tokens in the Firebase emulator's format.

Whoever can reach the process can be anyone. So it exists outside production only, and only on a loopback address: the
settings refuse anything else before the first request.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Sequence

import orjson
from google.auth import jwt

from promptforge.core.identity.tokens import Claims, InvalidToken, claims_from
from promptforge.core.principal import Role

DEFAULT_LIFETIME_SECONDS = 12 * 3600
ISSUER_PREFIX = "https://securetoken.google.com/"


def mint(
    uid: str,
    *,
    project_id: str,
    roles: Iterable[Role] = (),
    name: str | None = None,
    lifetime_seconds: float = DEFAULT_LIFETIME_SECONDS,
    now: Callable[[], float] = time.time,
) -> str:
    """An unsigned ID token for `uid` (algorithm `none`, empty signature), as the Firebase emulator makes them."""
    issued_at = int(now())
    payload = {
        "iss": ISSUER_PREFIX + project_id,
        "aud": project_id,
        "sub": uid,
        "user_id": uid,
        "auth_time": issued_at,
        "iat": issued_at,
        "exp": issued_at + int(lifetime_seconds),
        "email": f"{uid}@example.com",
        "name": name or uid.capitalize(),
        "roles": sorted(role.value for role in roles),
        "firebase": {"identities": {}, "sign_in_provider": "custom"},
    }
    return f"{_segment({'alg': 'none', 'typ': 'JWT'})}.{_segment(payload)}."


def _segment(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


class DevelopmentVerifier:
    """Accepts what `mint` makes (and what the emulator makes) for one project."""

    def __init__(self, project_id: str, *, now: Callable[[], float] = time.time) -> None:
        self._project_id = project_id
        self._now = now

    async def verify(self, token: str) -> Claims:
        """Audience, issuer and expiry are checked; there is no signature."""
        try:
            payload = jwt.decode(token, verify=False)  # type: ignore[no-untyped-call]  # google-auth has no types here
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ):  # whatever crafted tokens make it raise
            raise InvalidToken from None
        if not isinstance(payload, dict):
            raise InvalidToken
        if payload.get("aud") != self._project_id or payload.get("iss") != ISSUER_PREFIX + self._project_id:
            raise InvalidToken("The token is for another project")
        return claims_from(payload, now=self._now())

    async def check_session(self, claims: Claims) -> Claims:
        """Nobody keeps accounts here, so nothing is ever revoked."""
        return claims

    async def find_account(self, uid: str) -> Claims | None:
        return None

    async def disable_account(self, uid: str) -> None:
        """Nobody keeps accounts here."""

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        """Nobody keeps claims here: they are in the tokens that somebody has minted."""
