"""Cursors leave this service encrypted, each for its own list: what comes back was made here, or is refused.

A feature makes and reads plain cursors, which tell a time and an id. A list is its route with everything that its
message asks but for the page: path, filters, order. The cipher, AES-SIV (RFC 5297), takes no nonce, so the same cursor
is always the same text, and pages keep their ETags.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import os
from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from promptforge.core.errors import FieldError, Invalid
from promptforge.core.messages import Message
from promptforge.core.pages import Page

_PURPOSE = b"promptforge cursors v2\0"
_OF_THE_PAGE = frozenset({"cursor", "limit"})


class CursorKeys:
    """`secrets`: the first one encrypts, each of them opens; none: this process alone knows its cursors."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        keys = [secret.encode() for secret in secrets] or [os.urandom(32)]
        self._ciphers = [AESSIV(hmac.digest(key, _PURPOSE, "sha512")) for key in keys]

    def seal(self, listing: bytes, cursor: str) -> str:
        """`listing` names the list that it continues."""
        return _text(self._ciphers[0].encrypt(cursor.encode(), [listing]))

    def open(self, listing: bytes, sealed: str) -> str:
        """Raises `Invalid` for what was not made for this list."""
        data = _data(sealed)
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(data, [listing]).decode()
            except (InvalidTag, ValueError):  # the latter: it is too short
                continue
        error = FieldError("Not a cursor of this list: use `next` of the page before", "cursor", parameter="cursor")
        raise Invalid("The cursor is not valid", errors=(error,))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _data(text: str) -> bytes:
    """Nothing for what `_text` did not make: there is one text for each cursor."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
    return data if _text(data) == text else b""


class Cursors:
    """The cursors of one route."""

    __slots__ = ("_filters", "_keys", "_shape")

    def __init__(self, keys: CursorKeys, shape: str, message: type[Message[Any]]) -> None:
        self._keys = keys
        self._shape = shape
        self._filters = tuple(field.name for field in dataclasses.fields(message) if field.name not in _OF_THE_PAGE)

    def opened(self, message: Message[Any]) -> Message[Any]:
        """The message with the cursor that the feature made. Raises `Invalid`."""
        sealed: str | None = getattr(message, "cursor", None)
        if sealed is None:
            return message
        return dataclasses.replace(message, cursor=self._keys.open(self._listing(message), sealed))  # type: ignore[call-arg]  # it has one

    def sealed(self, message: Message[Any], reply: object) -> object:
        """The reply to the message; a page as clients get it."""
        if not isinstance(reply, Page) or reply.next is None:
            return reply
        return dataclasses.replace(reply, next=self._keys.seal(self._listing(message), reply.next))

    def _listing(self, message: Message[Any]) -> bytes:
        return orjson.dumps([self._shape, *[getattr(message, name) for name in self._filters]], default=_plain)


def _plain(value: object) -> object:
    return sorted(value, key=repr) if isinstance(value, (set, frozenset)) else str(value)
