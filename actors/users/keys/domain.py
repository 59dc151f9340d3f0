"""What an API key looks like, and what is kept of it.

`pfk_`, 38 random characters (226 bits) and a checksum, so that scanners find leaked keys and typing errors cost no
look-up. Only the key's SHA-256 is kept: it has too many bits to be guessed, so a slow hash would protect nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.users.messages import ApiKeyView

MOST_KEYS = 50
SHOWN = 12
"""How many characters of a key stay readable, to tell keys apart."""
USED_EVERY_SECONDS = 60.0
"""`last_used_at` is exact to this."""
_PREFIX = "pfk_"
_RANDOM = 38
_CHECKSUM = 6
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored; `slot` keeps one user from having more than `MOST_KEYS`."""

    id: str
    user_id: str
    name: str
    prefix: str
    digest: str
    scopes: tuple[str, ...]
    slot: int
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None

    def view(self) -> ApiKeyView:
        return ApiKeyView(
            id=self.id,
            name=self.name,
            prefix=self.prefix,
            scopes=self.scopes,
            created_at=self.created_at,
            expires_at=self.expires_at,
            last_used_at=self.last_used_at,
        )


def new_key() -> str:
    random = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return random + _checksum(random)


def is_key(token: str) -> bool:
    """Whether a token can be one of ours at all."""
    return _SHAPE.fullmatch(token) is not None and _checksum(token[:-_CHECKSUM]) == token[-_CHECKSUM:]


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    characters = []
    for _ in range(_CHECKSUM):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return "".join(characters)
