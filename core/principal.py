"""Who is asking: roles, scopes and the principal that every context carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """`user` is everyone who signed in; the others are given by an administrator and mirrored in Firebase claims."""

    USER = "user"
    SELLER = "seller"
    PARTNER = "partner"
    MODERATOR = "moderator"
    OPERATOR = "operator"
    ADMIN = "admin"


STAFF = frozenset({Role.MODERATOR, Role.OPERATOR, Role.ADMIN})
"""Who has rights over what is other people's."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person or program.

    `user_id` is the internal id (`usr_…`) that documents refer to; `uid` is Firebase's. `scopes` is None for a person's
    own token (everything the roles allow) and a set for an API key, whose id is `key_id`. `key_generation` is that of
    the secret by which an app has its token: a leaked one begins the next. Equality is by value, so it can be a cache
    entry.
    """

    user_id: str
    uid: str
    roles: frozenset[Role] = field(default_factory=lambda: frozenset({Role.USER}))
    scopes: frozenset[str] | None = None
    suspended: bool = False
    key_id: str | None = None
    key_generation: int = 0

    def has_role(self, *roles: Role) -> bool:
        """True where at least one of `roles` is held."""
        return not self.roles.isdisjoint(roles)
