"""What a verified sign-in says, and what a verifier of tokens promises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from promptforge.core.errors import Unauthenticated, Unavailable
from promptforge.core.principal import Role

CLOCK_SKEW_SECONDS = 10.0
ROLES = "roles"
"""The custom claim."""


class InvalidToken(Unauthenticated):
    code = "invalid_token"
    title = "The token is not valid; sign in again"


class ExpiredToken(Unauthenticated):
    code = "token_expired"
    title = "The token has expired; get a fresh one"


class RevokedToken(Unauthenticated):
    code = "token_revoked"
    title = "This session was revoked; sign in again"


class IdentityUnavailable(Unavailable):
    """The certificates (or the revocation state) could not be fetched; nothing is known to be wrong with the token."""

    code = "identity_unavailable"
    title = "Sign-ins cannot be verified just now"


@dataclass(frozen=True, slots=True)
class Claims:
    """What is said of an account, by a verified Firebase ID token or by Firebase itself when asked.

    Times are seconds since the epoch; `roles` come from the custom claim `roles`. `as_of` is when it was so: two
    sayings of one account can differ, and the newer one counts.
    """

    uid: str
    email: str | None
    name: str | None
    roles: frozenset[Role]
    issued_at: float
    expires_at: float
    as_of: float


class TokenVerifier(Protocol):
    """Turns a bearer token into claims, and knows whether the session behind them goes on."""

    async def verify(self, token: str) -> Claims:
        """What a token says. Raises `InvalidToken`, `ExpiredToken`, or `IdentityUnavailable` where none can tell."""
        ...

    async def check_session(self, claims: Claims) -> Claims:
        """Ask who keeps the accounts, and answer what they say of this one now.

        Raises `RevokedToken` (disabled and deleted too) or `IdentityUnavailable`.
        """
        ...

    async def find_account(self, uid: str) -> Claims | None:
        """What is said of an account now; None where nobody keeps accounts. Raises as `check_session`."""
        ...

    async def disable_account(self, uid: str) -> None:
        """End its sign-ins for good, and the roles in its claims; one that is gone or disabled already stays so.

        Raises `IdentityUnavailable`.
        """
        ...

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        """Write the custom claim `roles`, and no other; for an account that is gone there is nothing to do.

        Raises `IdentityUnavailable`.
        """
        ...


def claims_from(payload: Mapping[str, Any], *, now: float) -> Claims:  # Any: JSON claims
    """Read a decoded ID token; unknown roles are left out. Raises `ExpiredToken` or `InvalidToken`.

    Expiry and time of issue are checked here too: in emulator mode firebase-admin checks neither.
    """
    uid, expires_at, issued_at = payload.get("sub"), payload.get("exp"), payload.get("iat")
    if not isinstance(uid, str) or not uid or len(uid) > 128:
        raise InvalidToken
    if not isinstance(expires_at, (int, float)) or not isinstance(issued_at, (int, float)):
        raise InvalidToken
    if not (math.isfinite(expires_at) and math.isfinite(issued_at) and uid.isprintable()):
        raise InvalidToken
    if expires_at <= now:
        raise ExpiredToken
    if issued_at > now + CLOCK_SKEW_SECONDS:
        raise InvalidToken("The token was issued in the future: check the clocks")
    email, name = payload.get("email"), payload.get("name")
    return Claims(
        uid=uid,
        email=email if isinstance(email, str) else None,
        name=name if isinstance(name, str) else None,
        roles=roles_from(payload.get(ROLES)),
        issued_at=float(issued_at),
        expires_at=float(expires_at),
        as_of=float(issued_at),
    )


def roles_from(claim: object) -> frozenset[Role]:
    """The custom claim `roles` (a list of names) as roles; everyone is a `user`, and what we do not know counts not."""
    known = {role.value: role for role in Role}
    named = claim if isinstance(claim, (list, tuple)) else ()
    return frozenset({Role.USER, *(known[name] for name in named if isinstance(name, str) and name in known)})
