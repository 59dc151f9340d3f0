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


def clean_line(text: str) -> str:
    """One line, NFC, trimmed. Raises `ValueError` where nothing is left or a character shows nothing."""
    return _clean(text, allowed=_JOINERS)


def clean_text(text: str) -> str:
    """As `clean_line`, with line breaks and tabs."""
    return _clean(text.replace("\r\n", "\n"), allowed=_JOINERS | _BREAKS)


def is_blank(text: str) -> bool:
    """Nothing of it can be seen: white space, control and format characters only, if anything."""
    return all(character.isspace() or unicodedata.category(character) in _INVISIBLE for character in text)


def _clean(text: str, *, allowed: frozenset[str]) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"must not have more than {LONGEST} characters")
    cleaned = unicodedata.normalize("NFC", text).strip()
    if is_blank(cleaned):
        raise ValueError("must not be blank")
    for character in cleaned:
        if character not in allowed and unicodedata.category(character) in _MISLEADING:
            raise ValueError(f"must not contain the character U+{ord(character):04X}")
    return cleaned


def _before(clean: Callable[[str], str]) -> BeforeValidator:
    """Clean first: NFC can lengthen a text and trimming shortens it, and `Len` is about what will be stored."""
    return BeforeValidator(lambda value: clean(value) if isinstance(value, str) else value)


LINE = _before(clean_line)
TEXT = _before(clean_text)
