"""The texts that an output may be a disguise of: decoded, unescaped, taken apart by letters, words and lines.

Bounded in number and length, whatever the output is. A decoding that comes to no text is left out.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from urllib.parse import unquote

from promptforge.actors.marketplace.sealed.spelling import plain, unturned

MOST_SURFACES = 24
DEEPEST = 3
READABLE = 0.8
FEWEST_ESCAPES = 8

_TOKENS = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}(?:[\s\"',]+[A-Za-z0-9+/_-]{4,}={0,2})*")
_GROUPS = re.compile(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{1,8}=?[ \t\n,|.]+){11,}[A-Za-z0-9+/_-]{0,8}={0,2}")
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24,}")
_BASE85 = re.compile(r"(?<![!-~])[!-~]{25,}")
_HEX = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x|%|=)?[0-9a-fA-F]{2}[\s,:;|-]*){12,}")
_HEX_NOISE = re.compile(r"0x|\\x|[^0-9a-fA-F]")
_NUMBERS = re.compile(r"(?<!\d)(?:\d{2,3}[\s,;:|.-]+){12,}\d{2,3}")
_BITS = re.compile(r"(?<!\d)(?:[01]{7,8}[\s,;|-]*){12,}")
_MORSE = re.compile(r"(?:[._-]{1,6}(?:[ \t\n]*[/|][ \t\n]*|[ \t\n]+)){12,}[._-]{0,6}")
_TAG = re.compile(r"<[^<>]{1,100}>")
_ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})|[Uu]\+([0-9a-fA-F]{4,6})|=([0-9A-F]{2})(?!\d)")
_ROT47 = str.maketrans(
    "".join(map(chr, range(33, 127))), "".join(chr(33 + (code - 33 + 47) % 94) for code in range(33, 127))
)
_CODE = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE_LETTERS = dict(zip(_CODE.split(), "abcdefghijklmnopqrstuvwxyz", strict=True))


def surfaces(text: str) -> Iterator[str]:
    """The text, and what it can be read as, encodings within encodings included; all of it `plain`."""
    seen: set[str] = set()
    waiting = [(text, 0)]
    while waiting and len(seen) < MOST_SURFACES:
        found, depth = waiting.pop(0)
        if (upright := unturned(found)) is not None:
            waiting.append((upright, depth))
        surface = plain(found)
        if surface in seen:
            continue
        seen.add(surface)
        yield surface
        if depth < DEEPEST:
            waiting += [(one, depth + 1) for one in _decoded(surface)]


def rot47(text: str) -> str:
    return text.translate(_ROT47)


def _decoded(text: str) -> Iterator[str]:
    if "&" in text and (unescaped := html.unescape(text)) != text:
        yield unescaped
    if "<" in text and (bare := _TAG.sub("", text)) != text:
        yield html.unescape(bare)
    if "%" in text and (unquoted := unquote(text)) != text:
        yield unquoted
    unescaped, escapes = _ESCAPE.subn(_character, text)
    if escapes >= FEWEST_ESCAPES:
        yield unescaped
    yield from _from(_HEX, text, lambda found: bytes.fromhex(_even(_HEX_NOISE.sub("", found))))
    yield from _from(_BITS, text, _bits)
    yield from _from(_NUMBERS, text, lambda found: _numbers(found, 10))
    yield from _from(_NUMBERS, text, lambda found: _numbers(found, 8))
    yield from _base64(text)
    yield from _from(_BASE32, text, lambda found: base64.b32decode(found[: len(found) // 8 * 8]))
    yield from _from(_BASE85, text, base64.b85decode)
    yield from _from(_BASE85, text, lambda found: base64.a85decode(found.removeprefix("<~").removesuffix("~>")))
    for found in _MORSE.findall(text):
        yield "".join(_MORSE_LETTERS.get(one, "") for one in re.split(r"[\s/|]+", found.replace("_", "-")))


def _base64(text: str) -> Iterator[str]:
    for found in filter(_is_mixed, chain(_TOKENS.findall(text), _GROUPS.findall(text))):
        for turned in (found, found[::-1], codecs.encode(found, "rot13"), found.swapcase()):
            token = re.sub(r"[^A-Za-z0-9+/]", "", turned.replace("-", "+").replace("_", "/"))
            pieces = (token[start:] for start in range(4))  # words before it have put it out of step
            decoded = (_read(base64.b64decode, piece[: len(piece) // 4 * 4]) for piece in pieces)
            yield from islice((one for one in decoded if one is not None), 1)


def _is_mixed(found: str) -> bool:
    """Whether large and small letters stand side by side as they do in base64, and not as in words."""
    large, small = sum(map(str.isupper, found)), sum(map(str.islower, found))
    return min(large, small) > 0.1 * (large + small)


def _from(pattern: re.Pattern[str], text: str, decode: Callable[[str], bytes]) -> Iterator[str]:
    for found in pattern.findall(text):
        if (decoded := _read(decode, found)) is not None:
            yield decoded


def _read(decode: Callable[[str], bytes], found: str) -> str | None:
    """The text, where it is one."""
    try:
        raw = decode(found)
    except (binascii.Error, ValueError, OverflowError):
        return None
    text = raw.decode("utf-8", "ignore")
    readable = sum(map(str.isprintable, text)) + text.count("\n") + text.count("\t")
    bad = len(raw) - len(text.encode())
    return text if text and bad <= (1 - READABLE) * len(raw) and readable >= READABLE * len(text) else None


def _character(escape: re.Match[str]) -> str:
    code = int(next(group for group in escape.groups() if group is not None), 16)
    return chr(code) if code < 0x110000 else ""


def _even(digits: str) -> str:
    return digits[: len(digits) // 2 * 2]


def _bits(found: str) -> bytes:
    groups = re.findall(r"[01]{7,8}", found)
    return bytes(int(one, 2) for one in groups)


def _numbers(found: str, base: int) -> bytes:
    return bytes(int(one, base) for one in re.findall(r"\d+", found))
