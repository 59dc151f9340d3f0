"""Short texts that this service signs and gives away, to believe them when they come back."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from promptforge.core.errors import ConfigurationError

_TAG_BYTES = 16


class Signer:
    """`secrets`: the first one signs, what any of them signed is believed. `purpose`: no key is used for two things."""

    def __init__(self, secrets: Sequence[str], *, purpose: bytes) -> None:
        self._purpose = purpose.decode()
        self._keys = [
            HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode()) for secret in secrets
        ]

    def token(self, said: str) -> str:
        """Of characters that a link can have. Raises `ConfigurationError` where there is no secret."""
        if not self._keys:
            raise ConfigurationError(f"{self._purpose} needs SECRET_KEY: set it")
        data = said.encode()
        return f"{_text(data)}.{_text(_tag(self._keys[0], data))}"

    def read(self, token: str) -> str | None:
        """None for what this service did not sign."""
        first, _, second = token.partition(".")
        said, tag = _data(first), _data(second)
        if not any(hmac.compare_digest(_tag(key, said), tag) for key in self._keys):
            return None
        return said.decode()


def _tag(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")[:_TAG_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _data(text: str) -> bytes:
    """Nothing for what `_text` did not make: there is one text for each token."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
    return data if _text(data) == text else b""
