"""People: who they are to the rest of the service, the profile they show, and their API keys.

`UpdateProfile` is a PATCH in the sense of RFC 7396: a field that is not sent does not change, null clears it. A message
is a dataclass, so "not sent" needs a value of its own, and that is pydantic's `MISSING`: it is the default of each
optional field, shows in no JSON schema, is never accepted from a client, and is left out when the message is stored as
a job. Handlers test `value is not MISSING`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Len
from pydantic import MISSING, Field

from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.principal import Role
from promptforge.core.text import LINE, OPTIONAL_TEXT

UserId = Annotated[str, Len(1, 64)]

Handle = Annotated[
    str,
    Field(
        min_length=3,
        max_length=30,
        pattern=r"^[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*$",
        examples=["ada-lovelace"],
        description="Letters, digits, and single `-` or `_` between them. Kept and compared in lower case.",
    ),
]
HandleLookup = Annotated[str, Len(1, 64)]

DisplayName = Annotated[
    str,
    LINE,
    Field(
        min_length=1,
        max_length=80,
        # No control, line-separating or direction-changing characters: the name stands inside other people's sentences.
        pattern=r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029\u202A-\u202E\u2066-\u2069]*[^\s\x00-\x1F\x7F-\x9F\u2028-\u202E\u2066-\u2069]"
        r"[^\x00-\x1F\x7F-\x9F\u2028\u2029\u202A-\u202E\u2066-\u2069]*$",
        examples=["Ada Lovelace"],
        description="One line, not blank",
    ),
]
Bio = Annotated[
    str,
    OPTIONAL_TEXT,
    Field(
        max_length=1000,
        pattern=r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F]*$",
        description="Plain text; line breaks are kept",
    ),
]
HttpsUrl = Annotated[
    str,
    Field(
        max_length=500,
        # A host without user information, then printable ASCII without quotes, angle brackets and backslashes.
        pattern=r"^https://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?#][!#-;=?-\[\]-~]*)?$",
        examples=["https://example.com/ada.png"],
        description="An https address; other characters than ASCII are percent-encoded",
    ),
]
Links = Annotated[tuple[HttpsUrl, ...], Len(0, 5)]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the rest of the service needs to know of a signed-in person."""

    user_id: str
    uid: str
    roles: tuple[Role, ...]
    suspended: bool


@dataclass(frozen=True, slots=True)
class MeView:
    """One's own account and profile."""

    id: str
    email: str | None
    handle: str | None
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    links: tuple[str, ...]
    roles: tuple[Role, ...]
    suspended: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PublicProfileView:
    """What anyone may see of a person. `id` is the internal id that listings and reviews carry."""

    id: str
    handle: str
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    links: tuple[str, ...]
    joined_at: datetime


@internal
class EnsureUser(Command[Identity]):
    """Find or make the user behind a verified sign-in, and bring email and roles up to what is said of them.

    Roles only until somebody has decided about them here: from then on nothing that a sign-in says of roles counts.

    `as_of` is when that was so, in seconds since the epoch: what is older than what is known already changes nothing.
    """

    uid: Annotated[str, Len(1, 128)]
    email: str | None
    name: str | None
    roles: tuple[Role, ...]
    as_of: float


@internal
class GetIdentity(Query[Identity | None]):
    """The identity behind an internal id, or null where there is no such user."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class PersonName:
    """What somebody is called."""

    user_id: str
    handle: str | None
    display_name: str | None


@internal
class GetNames(Query[tuple[PersonName, ...]]):
    """What these people are called; those that there are not are left out."""

    user_ids: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class Contact:
    """How somebody is reached. `email` is what Firebase says it is."""

    user_id: str
    email: str | None
    display_name: str | None
    suspended: bool


@internal
class GetContact(Query[Contact | None]):
    """How to reach somebody; null where there is no such person."""

    user_id: UserId


@requires(scope="profile:read")
class GetMe(Query[MeView]):
    """Read your own account and profile."""


@requires(scope="profile:write")
class UpdateProfile(Command[MeView]):
    """Change your own profile: only the fields that are sent change, and null clears one.

    A handle is unique, as are those that look like it: without regard to case, `0` for `o`, `1` or `i` for `l`, and the
    like (409 `handle_taken`); some are reserved (422). The one before leads to you for 90 days, and who has five
    such takes no new one (409 `too_many_handles`).
    """

    handle: Handle | MISSING | None = MISSING
    display_name: DisplayName | MISSING | None = MISSING
    bio: Bio | MISSING | None = MISSING
    avatar_url: HttpsUrl | MISSING | None = MISSING
    links: Links | MISSING | None = MISSING


@public
class GetPublicProfile(Query[PublicProfileView]):
    """Read the public profile behind a handle, in any case; 308 `handle_moved` where its owner has another one now."""

    handle: HandleLookup


# API keys

KeyName = Annotated[
    str,
    LINE,
    Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1F\x7F]*\S[^\x00-\x1F\x7F]*$", examples=["nightly export"]),
]
ScopeName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z_]+:[a-z_]+$", examples=["prompts:read"])]


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    """An API key without its secret; `prefix` is how the secret begins. `last_used_at` is exact to a minute."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedApiKeyView:
    """`secret` is the key itself, shown this once; null where the same request is answered again."""

    key: ApiKeyView
    secret: str | None

    def without_secrets(self) -> CreatedApiKeyView:
        """What may be stored of this reply."""
        return CreatedApiKeyView(self.key, None)


@dataclass(frozen=True, slots=True)
class ApiKeysView:
    """Your keys that are not revoked, newest first, and every scope that a key can have."""

    items: tuple[ApiKeyView, ...]
    available_scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """Whose key it is, and what it may do besides. `generation`: see `Principal`."""

    identity: Identity
    key_id: str
    scopes: tuple[str, ...]
    expires_at: datetime
    generation: int = 0


@requires(fresh=True)
class CreateApiKey(Command[CreatedApiKeyView]):
    """Make an API key, whose secret is shown this once.

    A key may do what its scopes and your roles, as they are at that moment, both allow. Keys cannot manage keys.
    """

    name: KeyName
    scopes: Annotated[tuple[ScopeName, ...], Len(1, 50), Field(examples=[["prompts:read"]])]
    expires_in_days: Annotated[int, Field(ge=1, le=365)] = 90


@requires()
class ListApiKeys(Query[ApiKeysView]):
    """List your API keys, without their secrets."""


@requires(fresh=True, while_suspended=True)
class RevokeApiKey(Command[None]):
    """End an API key; it is refused within seconds, everywhere within a minute."""

    key_id: Annotated[str, Len(1, 64)]


@internal
class IsApiKeyActive(Query[bool]):
    """Whether this user has this API key still."""

    key_id: str
    user_id: UserId


@internal
class ResolveApiKey(Command[KeyIdentity | None]):
    """Whose API key this is, or null where it is none, or no longer; its use is noted."""

    key: Annotated[str, Len(1, 128)]


@internal
class ListAdministrators(Query[tuple[str, ...]]):
    """The ids of the administrators whose accounts are open: whom what waits for a decision is told."""


@internal
class CountOnAdministrators(Command[None]):
    """Only in a transaction that has read them: who suspends one of these, takes their role, or counts on them in order
    to leave, in another one at that moment, begins again or makes this one begin again.
    """

    user_ids: tuple[UserId, ...]


# The end of an account


@internal
class ExpectOpenAccounts(Query[None]):
    """Raises `AccountClosed` or `AccountSuspended` where one of these people's accounts is.

    In a transaction it is as of its snapshot: whoever commits on it took place before the closing.
    """

    user_ids: tuple[UserId, ...]


@internal
class IsAccountClosed(Query[bool]):
    """Whether nobody signs in to this account any more; one that is only suspended is open.

    In a transaction it is as of its snapshot.
    """

    user_id: UserId


@internal
class FindStoppedAccounts(Query[tuple[str, ...]]):
    """Those of these people whose account is suspended or closed, for whatever of theirs is under way."""

    user_ids: tuple[UserId, ...]


@internal
class CloseAccount(Command[None]):
    """Nobody signs in to this account, buys or is paid from now on."""

    user_id: UserId


@internal
class HoldBackHandles(Command[None]):
    """See to it that nobody takes the handles of an account that is about to be erased, to pass for its owner."""

    user_id: UserId


@internal
class EraseUser(Command[None]):
    """Empty a closed account's own document; its internal id stays for whatever refers to it.

    Until `uid_is_free` it goes on keeping the person's sign-in from making another account.
    """

    user_id: UserId
    uid_is_free: bool


# For search


@internal
class ReadPersonDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents of those of these people that there are and that have a public profile."""

    ids: tuple[str, ...]


@internal
class ScanPersonDocuments(Query[DocumentPage]):
    """The documents of all people, in the order of their ids, behind `after`."""

    after: str | None
    limit: int
