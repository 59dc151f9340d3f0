"""Unsubscribe links: who they are of and what they are about is in them, under a key that only this service has."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from promptforge.core.errors import ConfigurationError

_PURPOSE = b"promptforge unsubscribe v1"
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Subscription:
    user_id: str
    kind: str


class Links:
    """`secrets`: the first one signs, with each of them a link stays good: links are in mails for years."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [
            HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode()) for secret in secrets
        ]

    def token(self, subscription: Subscription) -> str:
        if not self._keys:
            raise ConfigurationError("unsubscribe links need SECRET_KEY: set it")
        said = f"{subscription.user_id}\n{subscription.kind}".encode()
        return f"{_text(said)}.{_text(_tag(self._keys[0], said))}"

    def read(self, token: str) -> Subscription | None:
        """None for what this service did not sign."""
        first, _, second = token.partition(".")
        said, tag = _data(first), _data(second)
        if not any(hmac.compare_digest(_tag(key, said), tag) for key in self._keys):
            return None
        user_id, _, kind = said.decode().partition("\n")
        return Subscription(user_id, kind)


def _tag(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")[:_TAG_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _data(text: str) -> bytes:
    """Nothing for what `_text` did not make: there is one text for each link."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
    return data if _text(data) == text else b""
