"""Reading and judging request bodies: size, time, type, encoding and shape, before any field is looked at.

Nothing that arrives here can be a 500: what cannot be read is `Malformed`, what is readable but could not be stored
(NUL characters, integers beyond 64 bits) is `Invalid` and names the field.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core
from starlette.types import Receive

from promptforge.core.errors import FieldError, Malformed
from promptforge.http.errors import (
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    UnsupportedContentCoding,
    UnsupportedMediaType,
)
from promptforge.http.exchange import Exchange
from promptforge.http.pointers import Location, pointer

MAX_DEPTH = 64
MAX_VALUES = 20_000
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)

_JSON_TYPE = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset[ \t]*=[ \t]*"?utf-8"?)?[ \t]*', re.IGNORECASE)
_KEY_END = re.compile(rb'"[ \t\r\n]*:')


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much of a body is read, and for how long."""

    max_bytes: int = 1024 * 1024
    timeout_seconds: float = 20.0


async def read_body(exchange: Exchange, receive: Receive, limits: BodyLimits) -> bytes:
    """The whole body. Raises `BodyTooLarge` (at once where Content-Length tells), `BodyTooSlow` or `ClientGone`.

    What is compressed raises `UnsupportedContentCoding`: it would be measured before it is what is read.
    """
    if not exchange.body_pending:
        return b""
    if exchange.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedContentCoding
    length = exchange.headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise Malformed("Content-Length is not a number")
        if len(length) > 18 or int(length) > limits.max_bytes:
            raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            return await _read(exchange, receive, limits)
    except TimeoutError:
        raise BodyTooSlow(f"The body must arrive within {limits.timeout_seconds:g} s") from None


async def _read(exchange: Exchange, receive: Receive, limits: BodyLimits) -> bytes:
    chunks: list[bytes] = []
    try:
        await _collect(exchange, receive, limits, chunks)
    except BaseException:
        chunks.clear()  # the error's traceback knows this list, and lives as long as the refusal takes to be sent
        raise
    return b"".join(chunks) if len(chunks) > 1 else chunks[0]


async def _collect(exchange: Exchange, receive: Receive, limits: BodyLimits, chunks: list[bytes]) -> None:
    size = 0
    while exchange.body_pending:
        message = await receive()
        if message["type"] == "http.disconnect":
            exchange.body_pending = False
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if not message.get("more_body", False):
            exchange.body_pending = False
        if size > limits.max_bytes:
            raise _too_large(limits)
        chunks.append(chunk)


def _too_large(limits: BodyLimits) -> BodyTooLarge:
    return BodyTooLarge(f"The body may have at most {limits.max_bytes} bytes")


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise `UnsupportedMediaType` for anything but `application/json`, in UTF-8 where it says so (RFC 8259, 8.1)."""
    content_type = headers.get(b"content-type")
    if content_type is None or not _JSON_TYPE.fullmatch(content_type):
        raise UnsupportedMediaType("Send JSON: Content-Type: application/json")


def parse_object(body: bytes) -> dict[str, Any]:  # Any: JSON
    """Parse a JSON object, strictly: no NaN, no lone surrogates, no repeated keys. Raises `Malformed`."""
    try:
        tree = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:  # syntax, encoding, depth and size of numbers; the message names line and column
        raise Malformed(f"The body is not valid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise Malformed("The body must be a JSON object")
    return tree


def judge(tree: dict[str, Any], body: bytes) -> list[FieldError]:  # Any: JSON
    """What is wrong with any JSON object, whatever its fields: values that could not be stored.

    Raises `Malformed` for what has too many values, is nested too deep, or says one key twice. The last is seen by
    counting: no parser here keeps both, so the text then has more keys than the tree.
    """
    keys = _keys_of_plain(tree, body)
    if keys is None:
        return _judge_closely(tree, body)
    if len(_KEY_END.findall(body)) > keys:
        _refuse_repeated_keys(body)
    return []


def _keys_of_plain(tree: dict[str, Any], body: bytes) -> int | None:  # Any: JSON
    """How many keys there are; None where something may be wrong: then it is found out where.

    Nearly every body is plain, and this takes half the time. NUL cannot be written but as an escape (RFC 8259, 7).
    """
    if b"\\u0000" in body:
        return None
    keys, values = 0, 1
    level: list[Any] = [tree]  # Any: JSON
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []  # Any: JSON
        for value in level:
            kind = type(value)
            if kind is str or kind is bool or value is None:
                continue
            if kind is dict:
                keys += len(value)
                below += value.values()
            elif kind is list:
                below += value
            elif _unstorable(value):
                return None
        values += len(below)
        if values > MAX_VALUES:
            return None
        if not below:
            return keys
        level = below
    return None


def _judge_closely(tree: dict[str, Any], body: bytes) -> list[FieldError]:  # Any: JSON
    found: list[FieldError] = []
    keys = 0
    values = 0
    waiting: list[tuple[object, Location]] = [(tree, ())]
    while waiting:
        value, location = waiting.pop()
        values += 1
        if values > MAX_VALUES:
            raise Malformed(f"The body may hold at most {MAX_VALUES} values")
        if isinstance(value, str):
            if "\0" in value:
                found.append(FieldError("The NUL character cannot be stored", "nul_character", pointer(location)))
        elif isinstance(value, dict):
            _check_depth(location)
            keys += len(value)
            for key, item in value.items():
                if "\0" in key:
                    found.append(FieldError("The NUL character cannot be stored", "nul_character", pointer(location)))
                waiting.append((item, (*location, key)))
        elif isinstance(value, list):
            _check_depth(location)
            waiting.extend([(item, (*location, index)) for index, item in enumerate(value)])
        elif _unstorable(value):
            found.append(FieldError("The number does not fit into 64 bits", "number_out_of_range", pointer(location)))
    if len(_KEY_END.findall(body)) > keys:
        _refuse_repeated_keys(body)
    return found


def _check_depth(location: Location) -> None:
    if len(location) > MAX_DEPTH:
        raise Malformed(f"The body may be nested at most {MAX_DEPTH} levels deep")


def _unstorable(value: object) -> bool:
    if isinstance(value, int):
        return not MIN_INT64 <= value <= MAX_INT64
    return isinstance(value, float) and not math.isfinite(value)


def _refuse_repeated_keys(body: bytes) -> None:
    """Raise `Malformed` where an object says one key twice. Slow, and rare: strings that look like keys lead here."""
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Malformed("An object in the body says one key twice")
    return members
