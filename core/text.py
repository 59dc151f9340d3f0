"""Words that people write: normalised to NFC, trimmed, and free of characters that show nothing or mislead."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from pydantic import BeforeValidator

LONGEST = 65_536
"""In characters, before anything is done with them; a field's own limit is lower and holds for the cleaned text."""
_BREAKS = frozenset("\n\t")
_MISLEADING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control, format (direction changes among them), surrogate, private, unassigned, separators."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing (Default_Ignorable_Code_Point), and that no word of today needs."""
_BLANK = _FILLERS | {"\u2800"}


def clean_line(text: str) -> str:
    """One line, NFC, trimmed. Raises `ValueError` where nothing is left or a character shows nothing."""
    return _clean(text, allowed=_JOINERS)


def clean_text(text: str) -> str:
    """As `clean_line`, with line breaks and tabs."""
    return _clean(text.replace("\r\n", "\n"), allowed=_JOINERS | _BREAKS)


def clean_optional_text(text: str) -> str:
    """As `clean_text`; empty where nothing of it can be seen."""
    return "" if is_blank(text) else clean_text(text)


def is_blank(text: str) -> bool:
    """Nothing of it can be seen: white space, and characters that show nothing, if anything."""
    return all(map(_shows_nothing, text))


def _clean(text: str, *, allowed: frozenset[str]) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"must not have more than {LONGEST} characters")
    cleaned = unicodedata.normalize("NFC", text).strip()
    if is_blank(cleaned):
        raise ValueError("must not be blank")
    for character in cleaned:
        misleading = unicodedata.category(character) in _MISLEADING or character in _FILLERS
        if misleading and character not in allowed:
            raise ValueError(f"must not contain the character U+{ord(character):04X}")
    return cleaned


def _shows_nothing(character: str) -> bool:
    invisible = character.isspace() or unicodedata.category(character) in _INVISIBLE
    return invisible or character in _BLANK or is_selector(character)


def is_selector(character: str) -> bool:
    """Whether it says how the character before it looks, and shows nothing by itself (a variation selector)."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _before(clean: Callable[[str], str]) -> BeforeValidator:
    """Clean first: NFC can lengthen a text and trimming shortens it, and `Len` is about what will be stored."""
    return BeforeValidator(lambda value: clean(value) if isinstance(value, str) else value)


LINE = _before(clean_line)
TEXT = _before(clean_text)
OPTIONAL_TEXT = _before(clean_optional_text)
