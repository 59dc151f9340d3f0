"""The one renderer of errors: RFC 9457 problem documents.

`type` is `/problems/<code>`, a path of this service that answers with what the code means, so it can be followed; the
same `code` stands beside it for programs. Whatever is not a `PromptForgeError` is a bug: it is told as
`internal_error`, without a word about what happened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from promptforge.core.errors import ConfigurationError, FieldError, Invalid, Moved, PromptForgeError, Unauthenticated
from promptforge.http.errors import MethodNotAllowed, RangeNotSatisfiable, UnsupportedContentCoding

MEDIA_TYPE = b"application/problem+json"
TYPE_PREFIX = "/problems/"
MAX_FIELD_ERRORS = 100

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A rendered problem: what goes over the wire."""

    status: int
    headers: Headers
    body: bytes


def render(error: PromptForgeError, request_id: str, trace_id: str) -> Problem:
    """Turn an error into its problem document. Errors with status 500 keep their detail to themselves."""
    internal = error.status == 500
    document: dict[str, Any] = {  # Any: JSON
        "type": TYPE_PREFIX + (PromptForgeError.code if internal else error.code),
        "title": PromptForgeError.title if internal else error.title,
        "status": error.status,
        "detail": f"Something went wrong on our side; we can find it by the request id {request_id}"
        if internal
        else error.detail,
        "code": PromptForgeError.code if internal else error.code,
        "request_id": request_id,
        "trace_id": trace_id,
        "retryable": error.retryable,
    }
    if isinstance(error, Invalid) and error.errors:
        document["errors"] = [_field(field) for field in error.errors[:MAX_FIELD_ERRORS]]
    if not internal:
        document = {**error.extra, **document}
    body = orjson.dumps(document)
    return Problem(error.status, _headers(error, len(body)), body)


def _field(error: FieldError) -> dict[str, str]:
    where = {"parameter": error.parameter} if error.parameter is not None else {"pointer": error.pointer or ""}
    return {**where, "detail": error.detail, "code": error.code}


def _headers(error: PromptForgeError, length: int) -> Headers:
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", str(length).encode())]
    if error.retry_after_seconds is not None:
        seconds = max(1, math.ceil(error.retry_after_seconds))
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, Unauthenticated):
        challenge = 'Bearer realm="promptforge"'
        if error.code != Unauthenticated.code:  # a token was sent, and it is not good (RFC 6750, 3.1)
            challenge += ', error="invalid_token"'
        headers.append((b"www-authenticate", challenge.encode()))
    if isinstance(error, Moved):  # relative to the path that was asked for (RFC 9110, 10.2.2)
        headers.append((b"location", quote(error.location, safe="").encode("ascii")))
    if isinstance(error, UnsupportedContentCoding):
        headers.append((b"accept-encoding", b"identity"))
    if isinstance(error, RangeNotSatisfiable):
        headers.append((b"content-range", b"bytes */%d" % error.size))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return headers


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """What a code means; `/problems/<code>` answers with this."""

    type: str
    code: str
    status: int
    title: str
    retryable: bool


def catalogue() -> dict[str, ProblemKind]:
    """Every code that this process can answer with, by code."""
    kinds: dict[str, ProblemKind] = {}
    for error in sorted(_family(PromptForgeError), key=lambda cls: (cls.status, cls.code)):
        if error.status != 500 or error is PromptForgeError:
            kind = ProblemKind(TYPE_PREFIX + error.code, error.code, error.status, error.title, error.retryable)
            kinds.setdefault(error.code, kind)
    return kinds


def _family(error: type[PromptForgeError]) -> set[type[PromptForgeError]]:
    members = {error} if error is not ConfigurationError else set()
    return members.union(*(_family(child) for child in error.__subclasses__()))
