"""The texts that an output may be a disguise of: decoded, unescaped, taken apart by letters, words and lines.

Each decoder makes one text of all that it can read, so that a hundred encoded words are one text and no number of
decoys uses up what is looked at. It is bounded all the same, and says so where something was left. What comes to no
text is left out.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import string
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from urllib.parse import unquote

from promptforge.actors.marketplace.sealed.spelling import plain, unturned

MOST_SURFACES = 24
DEEPEST = 3
READABLE = 0.8
"""How much of the bytes has to be text, and how much of that, letters and signs."""
PRINTABLE = 0.95
SAME = 0.7
FEWEST_WORDS = 6
"""Encoded words that there have to be, of those that cannot be anything else, for all words to be tried."""
FEWEST_ESCAPES = 8
FEWEST_DIGITS = 12

_TOKENS = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}(?:[\s\"',]+[A-Za-z0-9+/_-]{4,}={0,2})*")
_GROUPS = re.compile(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{1,8}=?[ \t\n,|.]+){11,}[A-Za-z0-9+/_-]{0,8}={0,2}")
_WORD64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{4,}={0,2}(?![A-Za-z0-9+/_=-])")
_ODD = re.compile(r".+[A-Z0-9+/=]")
"""What an ordinary word has not: a capital, a digit or a sign behind its first letter."""
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24,}")
_BASE85 = re.compile(r"(?<![!-~])[!-~]{25,}")
_HEX = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x|%|=)?[0-9a-fA-F]{2}[\s,:;|-]*){12,}")
_HEX_WORD = re.compile(r"(?<![0-9A-Za-z])(?:0x|\\x)?((?:[0-9a-fA-F]{2}){2,})(?![0-9A-Za-z])")
_HEX_NOISE = re.compile(r"0x|\\x|[^0-9a-fA-F]")
_NUMBERS = re.compile(r"(?<!\d)(?:\d{2,3}[\s,;:|.-]+){12,}\d{2,3}")
_TRIPLES = re.compile(r"(?<!\d)\d{36,}(?!\d)")
_PLACES = re.compile(r"(?<!\d)(?:\d{1,2}[\s,;:|./-]+){12,}\d{1,2}(?!\d)")
"""Of letters in the alphabet."""
_BITS = re.compile(r"(?<!\d)(?:[01]{7,8}[\s,;|-]*){12,}")
_MORSE = re.compile(r"(?:[._-]{1,6}(?:[ \t\n]*[/|][ \t\n]*|[ \t\n]+)){12,}[._-]{0,6}")
_TAG = re.compile(r"<[^<>]{1,100}>")
_ESCAPE = re.compile(
    r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})|[Uu]\+([0-9a-fA-F]{4,6})|=([0-9A-F]{2})(?!\d)"
    r"|(?<!\\)\\([0-3][0-7]{2})"
)
_OCTAL = 5
"""The group of an escape whose code is octal."""
_LINE = re.compile(rb"[\w\s.,;:'\"!?()/-]{16,}")
"""What random bytes hardly ever have in them."""
_ROT47 = str.maketrans(
    "".join(map(chr, range(33, 127))), "".join(chr(33 + (code - 33 + 47) % 94) for code in range(33, 127))
)
_CODE = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_MORSE_LETTERS = dict(zip(_CODE.split(), _ALPHABET, strict=True))


@dataclass(frozen=True, slots=True)
class Surfaces:
    """What a text can be read as. `all`: nothing was left that could be read as something else."""

    texts: tuple[str, ...]
    all: bool


def surfaces(text: str) -> Surfaces:
    """The text, and what it can be read as, encodings within encodings included; all of it `plain`."""
    seen: dict[str, None] = {}
    waiting = deque([(text, 0)])
    while waiting and len(seen) < MOST_SURFACES:
        found, depth = waiting.popleft()
        if (upright := unturned(found)) is not None:
            waiting.append((upright, depth))
        surface = plain(found)
        if surface in seen or (depth and len(surface) < FEWEST_ESCAPES):
            continue
        seen[surface] = None
        if depth < DEEPEST:
            waiting += [(one, depth + 1) for one in _decoded(surface)]
    return Surfaces(tuple(seen), all(plain(found) in seen for found, _ in waiting))


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
    if sum(map(text.count, string.digits)) >= FEWEST_DIGITS:
        yield from _from_digits(text)
    yield from _base64(text)
    yield from _from(_BASE32.findall(text), lambda found: base64.b32decode(found[: len(found) // 8 * 8]))
    yield from _from(long := _BASE85.findall(text), base64.b85decode)
    yield from _from(long, lambda found: base64.a85decode(found.removeprefix("<~").removesuffix("~>")))
    if found := _MORSE.findall(text):
        signs = re.split(r"[\s/|]+", " ".join(found).replace("_", "-"))
        yield "".join(_MORSE_LETTERS.get(one, "") for one in signs)


def _from_digits(text: str) -> Iterator[str]:
    yield from _from(pairs := _HEX.findall(text), _hex)
    yield from _from(pairs, lambda found: _hex(found[::-1]))
    yield from _from(_HEX_WORD.findall(text), bytes.fromhex)
    yield from _from(_BITS.findall(text), _bits)
    yield from _from(numbers := _NUMBERS.findall(text), lambda found: _numbers(found, 10))
    yield from _from(numbers, lambda found: _numbers(found, 8))
    yield from _from(_TRIPLES.findall(text), lambda found: bytes(int(one) for one in re.findall(r"\d{3}", found)))
    yield from _from(_PLACES.findall(text), _places)


_TURNED: tuple[Callable[[str], str], ...] = (
    str,
    lambda found: found[::-1],
    lambda found: codecs.encode(found, "rot13"),
    str.swapcase,
)


def _base64(text: str) -> Iterator[str]:
    """Of what is long in all steps, for words before it may have put it out of step; of words as they are."""
    long = list(filter(_is_mixed, chain(_TOKENS.findall(text), _GROUPS.findall(text))))
    for turn in _TURNED:
        yield from _joined(_unstepped(_token(turn(found))) for found in long)
    words = _WORD64.findall(text)
    odd = [word for word in words if _ODD.match(word)]
    sure = [read for word in odd if (read := _read(_word, word)) is not None]
    if len(sure) >= FEWEST_WORDS:
        yield from _from(words, _word)
    elif sure:
        yield "\n".join(sure)


def _unstepped(token: str) -> str | None:
    pieces = (token[start:] for start in range(4))
    decoded = (_read(base64.b64decode, piece[: len(piece) // 4 * 4]) for piece in pieces)
    return next((one for one in decoded if one is not None), None)


def _token(found: str) -> str:
    return re.sub(r"[^A-Za-z0-9+/]", "", found.replace("-", "+").replace("_", "/"))


def _word(found: str) -> bytes:
    """Raises `ValueError` for what is none."""
    bare = found.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def _is_mixed(found: str) -> bool:
    """Whether large and small letters stand side by side as they do in base64, and not as in words."""
    large, small = sum(map(str.isupper, found)), sum(map(str.islower, found))
    return min(large, small) > 0.1 * (large + small)


def _from(parts: Iterable[str], decode: Callable[[str], bytes]) -> Iterator[str]:
    return _joined(_read(decode, part) for part in parts)


def _joined(texts: Iterable[str | None]) -> Iterator[str]:
    """All of them as one, where there are any."""
    if found := [text for text in texts if text is not None]:
        yield "\n".join(found)


def _read(decode: Callable[[str], bytes], found: str) -> str | None:
    """The text, where it is one, or where a line of one stands among bytes that are none."""
    try:
        raw = decode(found)
    except (binascii.Error, ValueError, OverflowError):
        return None
    wide = _wide(raw)
    text = raw.decode("utf-8", "ignore") if wide is None else wide
    readable = sum(map(str.isprintable, text)) + text.count("\n") + text.count("\t")
    bad = 0 if wide is not None else len(raw) - len(text.encode())
    whole = text and bad <= (1 - READABLE) * len(raw) and readable >= PRINTABLE * len(text)
    return text if whole or _LINE.search(raw) else None


def _wide(raw: bytes) -> str | None:
    """What is UTF-16, by high bytes that hardly differ; None where it is not."""
    if len(raw) < FEWEST_ESCAPES:
        return None
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        ((commonest, times),) = Counter(high := raw[start::2]).most_common(1)
        if times >= SAME * len(high) and commonest < ord(" ") and commonest not in b"\t\n\r":
            return raw.decode(name, "ignore").lstrip("\ufeff")
    return None


def _character(escape: re.Match[str]) -> str:
    groups = escape.groups()
    at = next(number for number, group in enumerate(groups) if group is not None)
    code = int(groups[at], 8 if at == _OCTAL - 1 else 16)
    return chr(code) if code < 0x110000 else ""


def _even(digits: str) -> str:
    return digits[: len(digits) // 2 * 2]


def _hex(found: str) -> bytes:
    return bytes.fromhex(_even(_HEX_NOISE.sub("", found)))


def _bits(found: str) -> bytes:
    groups = re.findall(r"[01]{7,8}", found)
    return bytes(int(one, 2) for one in groups)


def _numbers(found: str, base: int) -> bytes:
    return bytes(int(one, base) for one in re.findall(r"\d+", found))


def _places(found: str) -> bytes:
    """Raises `ValueError` where one is no place in the alphabet."""
    places = [int(one) for one in re.findall(r"\d+", found)]
    if max(places) > len(_ALPHABET):
        raise ValueError("no places in the alphabet")
    return "".join(_ALPHABET[place - 1] for place in places if place).encode()
