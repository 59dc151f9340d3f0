"""ETags and what clients make conditional on them (RFC 9110, 13): `If-None-Match` to poll, `If-Match` to edit.

An ETag names the content of a reply, so no feature keeps one. An edit's `If-Match` is judged against what the path's
GET answers in the edit's own transaction: whoever commits in between makes that transaction begin again, and then fail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from promptforge.core.context import Context
from promptforge.core.errors import Malformed
from promptforge.core.messages import Message
from promptforge.http.encoding import encode
from promptforge.http.errors import PreconditionFailed

COMPRESSED_FROM = 500
"""Bytes of a body; smaller ones hardly shrink, and are most of them."""
VARY = (b"vary", b"Accept-Encoding")

_LIST = re.compile(rb'[ \t]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t]*|$))+')
_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def etag(body: bytes) -> bytes:
    """The same for the same bytes, whichever process sends them."""
    return b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'


def validator(body: bytes, tag: bytes) -> bytes:
    """The tag as it is told: weak where the body may have several codings, for they share it (RFC 9110, 8.8.3)."""
    return b"W/" + tag if len(body) >= COMPRESSED_FROM else tag


def known_already(headers: Mapping[bytes, bytes], tag: bytes) -> bool:
    """Whether If-None-Match names this content; a header that cannot be read names nothing."""
    known = headers.get(b"if-none-match")
    if known is None:
        return False
    return known.strip() == b"*" or any(given == tag for _, given in _TAG.findall(known))


class Precondition:
    """An edit's If-Match; `current` is the query whose reply has the ETag. Raises `Malformed`."""

    __slots__ = ("_any", "_current", "_tags")

    def __init__(self, header: bytes, current: Message[Any]) -> None:
        self._any = header.strip() == b"*"
        if not self._any and not _LIST.fullmatch(header):
            raise Malformed('If-Match is not a list of ETags such as "33a64df551425fcc"')
        # RFC 9110 (13.1.1) wants a strong comparison, for a weak tag may stand for contents that differ. Ours never do:
        # a tag is a hash of the content before any coding, and weak only because codings share it, or because a proxy
        # that compresses made it so. Who sends it back has seen the very content that it names.
        self._tags = frozenset(tag for _, tag in _TAG.findall(header))
        self._current = current

    async def check(self, tx: Context) -> None:
        """Raises `PreconditionFailed`, or what the query raises: there may be nothing to edit any more."""
        tag = etag(encode(await tx.system.look(self._current, tx)))
        if not self._any and tag not in self._tags:
            raise PreconditionFailed("It has changed since you read it: read it again, and edit that")
