"""Secrets that programs hold: how they look, and what is kept of them.

A prefix that says what it is, 38 random characters (226 bits) and a checksum, so that scanners find leaked ones and
typing errors cost no look-up. Only the SHA-256 is kept: a secret has too many bits to be guessed, so a slow hash would
protect nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

SHOWN = 12
"""How many characters of a secret stay readable, to tell secrets apart."""
API_KEY = "pfk_"
APP_SECRET = "pfs_"  # noqa: S105  # how one begins
APP_TOKEN = "pfa_"  # noqa: S105  # how one begins
_RANDOM = 38
_CHECKSUM = 6
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True, slots=True)
class Shape:
    """How the secrets of one kind look."""

    prefix: str

    def new(self) -> str:
        random = self.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
        return random + _checksum(random)

    def fits(self, text: str) -> bool:
        """Whether a text can be one of this kind at all."""
        shape = rf"{re.escape(self.prefix)}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}"
        return re.fullmatch(shape, text) is not None and _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]


def digest_of(secret: str) -> str:
    """What is kept, in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    characters = []
    for _ in range(_CHECKSUM):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return "".join(characters)
