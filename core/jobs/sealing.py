"""Encryption at rest, of sensitive jobs and of what features seal: Fernet with keys derived from SECRET_KEY by HKDF."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from promptforge.core.errors import ConfigurationError

_PURPOSE = b"promptforge jobs v1"


class Sealer:
    """Seals with the first secret, unseals with any: put a new one in front to rotate."""

    def __init__(self, secrets: Sequence[str], *, purpose: bytes = _PURPOSE) -> None:
        """`purpose`: what is sealed for one cannot be opened for another."""
        self._fernet = MultiFernet([Fernet(_derive(secret, purpose)) for secret in secrets]) if secrets else None

    def seal(self, plain: bytes) -> bytes:
        if self._fernet is None:
            raise ConfigurationError("what is encrypted at rest needs SECRET_KEY: set it")
        return self._fernet.encrypt(plain)

    def unseal(self, sealed: bytes) -> bytes | None:
        """None where no key fits."""
        if self._fernet is None:
            return None
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None


NO_SEALER = Sealer(())


def _derive(secret: str, purpose: bytes) -> bytes:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
    return base64.urlsafe_b64encode(key)
