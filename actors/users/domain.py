"""A person as stored, what a profile may say, and what others get to see of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import MISSING

from promptforge.actors.search.messages import PUBLIC, Kind, SearchDocument
from promptforge.actors.users.messages import Identity, MeView, PublicProfileView, UpdateProfile
from promptforge.core.alike import skeleton
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.principal import Role
from promptforge.core.text import is_blank, is_selector

RESERVED_HANDLES = frozenset({
    "about", "abuse", "account", "accounts", "admin", "administrator", "anonymous", "api", "app", "assets", "auth",
    "billing", "blog", "bot", "contact", "deleted", "dev", "docs", "everyone", "favicon", "forum", "guest",
    "health", "help", "home", "info", "jobs", "legal", "library", "login", "logout", "mail", "marketplace", "me",
    "messages", "moderation", "moderator", "news", "nobody", "notifications", "null", "official", "operator", "ops",
    "owner", "packages", "partner", "partners", "payments", "payouts", "postmaster", "privacy", "profile",
    "projects", "promptforge", "prompts", "public", "purchases", "register", "robots", "root", "search", "security",
    "seller", "sellers", "settings", "shop", "signin", "signup", "staff", "static", "status", "stripe", "support",
    "sys", "system", "team", "terms", "test", "undefined", "user", "users", "webhook", "webhooks", "webmaster",
    "www",
})  # fmt: skip
RESERVED_PREFIXES = ("usr_", "usr-", "promptforge-", "promptforge_", "admin-", "admin_")
"""Internal ids start with `usr_`, and nobody shall look like one or like the house."""
_RESERVED = frozenset(skeleton(handle) for handle in RESERVED_HANDLES)
_RESERVED_PREFIXES = tuple(skeleton(prefix) for prefix in RESERVED_PREFIXES)
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class User:
    """A person without credits (billing has them). `uid` is Firebase's; `said_at` is when email and roles were so."""

    id: str
    uid: str
    email: str | None
    handle: str | None
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    links: tuple[str, ...]
    roles: tuple[Role, ...]
    suspended: bool
    said_at: float
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    """Since when nobody can sign in: what tells of the person is being removed, or was."""
    roles_decided: bool = False
    """Whether they were decided here. What sign-ins say of roles counts no more from then on."""

    def identity(self) -> Identity:
        return Identity(self.id, self.uid, self.roles, self.suspended)

    def me(self) -> MeView:
        return MeView(
            id=self.id,
            email=self.email,
            handle=self.handle,
            display_name=self.display_name,
            bio=self.bio,
            avatar_url=self.avatar_url,
            links=self.links,
            roles=self.roles,
            suspended=self.suspended,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def public_view(user: User, handle: str) -> PublicProfileView:
    return PublicProfileView(
        id=user.id,
        handle=handle,
        display_name=user.display_name,
        bio=user.bio,
        avatar_url=user.avatar_url,
        links=user.links,
        joined_at=user.created_at,
    )


def search_document(user: User) -> SearchDocument | None:
    """What may be found of somebody; None where they have no public profile."""
    if user.handle is None or user.suspended or user.closed_at is not None:
        return None
    return SearchDocument(
        kind=Kind.PERSON,
        id=user.id,
        audience=PUBLIC,
        title=user.display_name or user.handle,
        changed_at=user.updated_at,
        summary=user.bio or "",
        names=(user.handle,),
    )


def stored_roles(roles: Iterable[Role]) -> tuple[Role, ...]:
    """In one order, so that equal sets are equal in the database; everyone is a user."""
    held = {Role.USER, *roles}
    return tuple(role for role in Role if role in held)


def first_display_name(name: str | None) -> str | None:
    """What a sign-in calls somebody, made fit to be a display name; None where nothing is left of it."""
    normal = unicodedata.normalize("NFC", name or "")
    visible = "".join(" " if _shows_nothing(char) else char for char in normal)
    fit = " ".join(visible.split())[:LONGEST_NAME].rstrip()
    return None if is_blank(fit) else fit


def _shows_nothing(char: str) -> bool:
    """Selectors say how the character before them looks."""
    return unicodedata.category(char)[0] == "C" or (is_blank(char) and not is_selector(char))


def normal_handle(handle: str) -> str:
    """Handles are kept and compared in lower case; theirs is ASCII only."""
    return handle.lower()


def changes_of(message: UpdateProfile) -> dict[str, object]:
    """The fields that were sent, as they are stored; None clears one. Raises `Invalid` for a reserved handle."""
    changes: dict[str, object] = {}
    if message.handle is not MISSING:
        changes["handle"] = None if message.handle is None else _free_handle(message.handle)
    if message.display_name is not MISSING:
        changes["display_name"] = message.display_name.strip() if message.display_name else None
    if message.bio is not MISSING:
        changes["bio"] = message.bio or None
    if message.avatar_url is not MISSING:
        changes["avatar_url"] = message.avatar_url
    if message.links is not MISSING:
        changes["links"] = list(message.links or ())
    return changes


def _free_handle(handle: str) -> str:
    normal = normal_handle(handle)
    looks_like = skeleton(normal)
    if looks_like in _RESERVED or looks_like.startswith(_RESERVED_PREFIXES):
        error = FieldError("This handle is reserved", "reserved_handle", pointer="/handle")
        raise Invalid("The handle is reserved", errors=(error,))
    return normal
