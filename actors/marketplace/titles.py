"""Titles that look like other titles: words of letters from several scripts, and characters that show nothing.

For lines that are cleaned already (`core.text`).
"""

from __future__ import annotations

import re
import unicodedata

from pydantic import AfterValidator

from promptforge.core.text import is_selector

_ALIKE = (
    *("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "OSAGE", "GLAGOLITIC"),
    *("TIFINAGH", "CARIAN", "LYCIAN", "LYDIAN", "OLD ITALIC", "GOTHIC", "RUNIC", "ELBASAN", "CANADIAN", "VAI"),
    *("SHAVIAN", "WARANG", "MEDEFAIDRIN", "BASSA"),
)
"""Scripts with letters that look the same in another one."""
_JOINERS = "\u200c\u200d"
_WORDS = re.compile(r"[^\W\d_]+(?:[" + _JOINERS + r"][^\W\d_]+)*")
_BLANK_PATTERN = "\u2800"
_EMOJI_STYLE = "\ufe0f"
_KEYCAP = "\u20e3"
_STYLED = "\u203c\u2049\u2139\u3030\u303d"
"""What has two looks and is no symbol by its category."""
_MOST_MARKS = 4
"""On one letter: as many as any script in use has."""


def _script(letter: str) -> str | None:
    """Compatibility forms (mathematical letters, full width) are what they stand for."""
    plain = unicodedata.normalize("NFKD", letter)[:1] or letter
    name = unicodedata.name(plain, "")
    return next((script for script in _ALIKE if name.startswith(script)), None)


def check_scripts(text: str) -> str:
    """Raises `ValueError` for what looks like something else, or like nothing.

    That is a word that mixes scripts whose letters look alike, or hides a joiner among such; a character that shows
    nothing; a heap of marks on one letter; and a text without a letter or a digit.
    """
    if not any(map(str.isalnum, text)):
        raise ValueError("must have a letter or a digit in it")
    _check_invisible(text)
    for word in _WORDS.findall(_without_marks(text)):
        scripts = {_script(letter) for letter in word} - {None}
        if len(scripts) > 1:
            raise ValueError(f"must not mix letters of several scripts in one word: {word}")
        if scripts and any(joiner in word for joiner in _JOINERS):
            raise ValueError("must not contain invisible characters")
    return text


def _check_invisible(text: str) -> None:
    """Of the characters that say how another one looks, those of emoji are in order behind what has such a look."""
    marks = 0
    for at, character in enumerate(text):
        marks = marks + 1 if unicodedata.combining(character) or unicodedata.category(character) == "Me" else 0
        if marks > _MOST_MARKS:
            raise ValueError(f"must not have more than {_MOST_MARKS} marks on one letter")
        styles = character == _EMOJI_STYLE and at > 0 and _has_styles(text[at - 1], text[at + 1 : at + 2])
        if character == _BLANK_PATTERN or (is_selector(character) and not styles):
            raise ValueError(f"must not contain the character U+{ord(character):04X}")


def _has_styles(before: str, after: str) -> bool:
    """Whether a character can look like an emoji: symbols, and digits in a keycap."""
    if after == _KEYCAP:
        return before in "0123456789#*"
    return unicodedata.category(before) in {"So", "Sm", "Sk"} or before in _STYLED


def _without_marks(text: str) -> str:
    """Marks on letters (accents, mostly) would end a word."""
    return "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) not in {"Mn", "Me"})


ONE_SCRIPT = AfterValidator(check_scripts)
