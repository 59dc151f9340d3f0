"""Cursors leave this service signed, each for its own list: what comes back was made here, or is refused.

A feature makes and reads plain cursors. Signing happens where replies leave and checking where messages are bound.
"""

from __future__ import annotations

import base64
import dataclasses
import hmac
import os
from collections.abc import Sequence
from typing import Any

from promptforge.core.errors import FieldError, Invalid
from promptforge.core.messages import Message
from promptforge.core.pages import Page

_PURPOSE = b"promptforge cursors v1\0"
_MAC_BYTES = 12


class CursorKeys:
    """`secrets`: the first one signs, each of them is accepted; none: this process alone knows its cursors."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        keys = [secret.encode() for secret in secrets] or [os.urandom(32)]
        self._keys = [hmac.digest(key, _PURPOSE, "sha256") for key in keys]

    def sign(self, listing: str, cursor: str) -> str:
        """`listing` names the list that it continues."""
        return f"{cursor}.{_mac(self._keys[0], listing, cursor)}"

    def open(self, listing: str, signed: str) -> str:
        """Raises `Invalid` for what was not signed for this list."""
        cursor, _, mac = signed.rpartition(".")
        if not signed.isascii() or not any(hmac.compare_digest(_mac(key, listing, cursor), mac) for key in self._keys):
            error = FieldError("Not a cursor of this list: use `next` of the page before", "cursor", parameter="cursor")
            raise Invalid("The cursor is not valid", errors=(error,))
        return cursor


def _mac(key: bytes, listing: str, cursor: str) -> str:
    mac = hmac.digest(key, f"{listing}\0{cursor}".encode(), "sha256")[:_MAC_BYTES]
    return base64.urlsafe_b64encode(mac).decode()


class Cursors:
    """The cursors of one list."""

    __slots__ = ("_keys", "_listing")

    def __init__(self, keys: CursorKeys, listing: str) -> None:
        self._keys = keys
        self._listing = listing

    def opened(self, message: Message[Any]) -> Message[Any]:
        """The message with the cursor that the feature made. Raises `Invalid`."""
        signed: str | None = getattr(message, "cursor", None)
        if signed is None:
            return message
        return dataclasses.replace(message, cursor=self._keys.open(self._listing, signed))  # type: ignore[call-arg]  # it has one

    def signed(self, page: Page[Any]) -> Page[Any]:
        """The page as clients get it."""
        if page.next is None:
            return page
        return Page(page.items, self._keys.sign(self._listing, page.next))
