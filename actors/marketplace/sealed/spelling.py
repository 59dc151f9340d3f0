# ruff: noqa: RUF001 — letters that look like others are what this is about
"""What is left of a text once everything is gone by which it can be made to look different: its bare letters.

Case, accents, spaces, punctuation, digits, invisible characters and compatibility forms go; letters that look like
Latin ones become those, and so do Braille, small, circled and tag letters.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
"""A text as numbers, one for each letter."""

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_TURNED = "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz"
_BRAILLE = "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵"
_SMALL = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ"
_ALIKE = (
    ("авсеԁһіјӏкмнорԛгѕтушхуѵԝ", "abcedhijlkmhopqrstywxyvw"),
    ("αβεηικνορτυχωγ", "abenikvoptuxwy"),
    ("ıłøđƨɡɑǀ", "ilodsgal"),
    ("–—−‐‑·•…", "-----..."),
)


def _table() -> dict[int, str]:
    table = {ord("ß"): "ss"}
    for letters in (_SMALL, _BRAILLE):
        table |= {ord(one): latin for one, latin in zip(letters, _LATIN, strict=True) if not one.isascii()}
    for alike, latin in _ALIKE:
        for one, other in zip(alike, latin, strict=True):
            table |= {ord(one): other, ord(one.upper()[0]): other.upper()}
    table |= {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}  # tags: ASCII that nobody sees
    for number, letter in enumerate(_LATIN):
        table |= {start + number: letter for start in (0x1F1E6, 0x1F150, 0x1F170)}  # flags, circles, squares
    return table


_TABLE = _table()
_MARKS = re.compile(r"[^\x00-\x7f\w]+")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_NOT_A_LETTER = re.compile(r"[\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_UPRIGHT = {ord(one): latin for one, latin in zip(_TURNED, _LATIN, strict=True)}
_STANDS_ON_ITS_HEAD = re.compile(f"[{''.join(one for one in _TURNED if not one.isascii())}]")
_DIGITS_AND_SIGNS = str.maketrans("0134567829@$!|+", "oieasgtbzgasiit")


def plain(text: str) -> str:
    """The text in simple characters, its case and its punctuation left: ASCII where it is in Latin letters."""
    if text.isascii():
        return text
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).translate(_TABLE))
    return unicodedata.normalize("NFC", _MARKS.sub("", bare))


def letters(text: str) -> Codes:
    """The bare letters of a text that is `plain`."""
    if text.isascii():
        return np.frombuffer(text.lower().encode().translate(None, _NO_LETTERS), np.uint8).astype(np.uint32)
    return np.frombuffer(_NOT_A_LETTER.sub("", text.lower()).encode("utf-32-le", "surrogatepass"), np.uint32)


def words(text: str) -> list[str]:
    """Of a text that is `plain`."""
    return _WORD.findall(text)


def unleeted(text: str) -> str:
    """With letters where digits and signs stand for such: `1gn0r3` is `ignore`."""
    return text.translate(_DIGITS_AND_SIGNS)


def unturned(text: str) -> str | None:
    """What stands on its head, put upright; None where nothing does."""
    return text.translate(_UPRIGHT)[::-1] if _STANDS_ON_ITS_HEAD.search(text) else None


def alike(codes: Codes) -> Codes:
    """`l` and `i` are one letter: `1`, `I` and `|` stand for both."""
    return np.where(codes == ord("l"), np.uint32(ord("i")), codes)


def steps(codes: Codes) -> Codes:
    """From each Latin letter to the next, from 1 to 26: the same however far the alphabet is shifted."""
    latin = codes[(codes >= ord("a")) & (codes <= ord("z"))].astype(np.int64)
    return (np.diff(latin) % 26 + 1).astype(np.uint32)
