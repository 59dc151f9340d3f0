"""Signatures of packages: Ed25519, with keys derived from SECRET_KEY, and the list of keys that somebody trusts.

A key's id is derived from the key, so neither can be exchanged. What is signed says what it is signed as, so that no
other signature by the same key can pass for a package's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format.manifest import canonical
from promptforge.core.errors import ConfigurationError

ALGORITHM: Literal["Ed25519"] = "Ed25519"
MAX_SIGNATURE_BYTES = 1024
_PURPOSE = b"promptforge package signing v1"
_SIGNED_AS = b"promptforge package v1\n"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`public_key`: its 32 bytes in base64."""

    key_id: str
    public_key: str


@validated(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class Signature:
    """What stands in `signature.json`."""

    algorithm: Literal["Ed25519"]
    key_id: Annotated[str, Field(pattern=r"^pfk_[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


_SIGNATURE: TypeAdapter[Signature] = TypeAdapter(Signature)


def key_id_of(raw: bytes) -> str:
    """The id of a public key, of its 32 bytes."""
    return f"pfk_{hashlib.sha256(raw).hexdigest()[:32]}"


class SigningKeys:
    """The first secret's key signs; those of all are trusted: put a new secret in front to rotate."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [Ed25519PrivateKey.from_private_bytes(_seed(secret)) for secret in secrets]
        self.public = tuple(_public(key) for key in self._keys)

    def sign(self, manifest: bytes) -> bytes:
        """The bytes of `signature.json`."""
        if not self._keys:
            raise ConfigurationError("packages are signed with a key from SECRET_KEY: set it")
        signed = base64.b64encode(self._keys[0].sign(_SIGNED_AS + manifest)).decode("ascii")
        return canonical(Signature(ALGORITHM, self.public[0].key_id, signed))


class TrustedKeys:
    """Public keys that packages may be signed with: no other key vouches for anything."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        """Raises `ValueError` for what is no key, or has another id than its own."""
        self._keys: dict[str, Ed25519PublicKey] = {}
        for key in keys:
            raw = _raw(key.public_key)
            if key.key_id != key_id_of(raw):
                raise ValueError(f"The key {key.key_id[:40]!r} is not the one of that id")
            self._keys[key.key_id] = Ed25519PublicKey.from_public_bytes(raw)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def verify(self, manifest: bytes, signature: bytes) -> str:
        """The id of the key that has signed these bytes. Raises `PackageRefused`."""
        signed = _signature_from(signature)
        key = self._keys.get(signed.key_id)
        if key is None:
            raise PackageRefused(
                "unknown_key", f"It is signed with {signed.key_id}, which is not among the trusted keys"
            )
        try:
            key.verify(base64.b64decode(signed.signature, validate=True), _SIGNED_AS + manifest)
        except InvalidSignature:
            raise PackageRefused("bad_signature", "The signature is not of this manifest") from None
        return signed.key_id


def signed_with(signature: bytes) -> str:
    """The id of the key that a signature names, whoever made it. Raises `PackageRefused` for what is none."""
    return _signature_from(signature).key_id


def public_key(text: str) -> PublicKey:
    """From its 32 bytes in base64. Raises `ValueError`."""
    return PublicKey(key_id_of(_raw(text)), text)


def keys_from(text: bytes) -> list[PublicKey]:
    """From what `GET /packaging/keys` answers, as it was kept. Raises `ValueError`."""
    try:
        tree: Any = orjson.loads(text)  # Any: JSON
        return [PublicKey(str(one["key_id"]), str(one["public_key"])) for one in tree["keys"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ValueError('This is not {"keys": [{"key_id": …, "public_key": …}]}') from None


def _signature_from(data: bytes) -> Signature:
    try:
        if len(data) > MAX_SIGNATURE_BYTES:
            raise PackageRefused("bad_signature", "The signature is too long")
        signed = _SIGNATURE.validate_json(data)
    except ValidationError:
        raise PackageRefused("bad_signature", "The signature is not written as one") from None
    if canonical(signed) != data or base64.b64encode(base64.b64decode(signed.signature)).decode() != signed.signature:
        raise PackageRefused("bad_signature", "The signature is not written canonically")
    return signed


def _seed(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())


def _public(key: Ed25519PrivateKey) -> PublicKey:
    raw = key.public_key().public_bytes_raw()
    return PublicKey(key_id_of(raw), base64.b64encode(raw).decode("ascii"))


def _raw(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or base64.b64encode(raw).decode("ascii") != text:
        raise ValueError("A public key is 32 bytes in base64")
    return raw
