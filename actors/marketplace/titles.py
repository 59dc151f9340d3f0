"""Titles that look like other titles: words of letters from several scripts, and joiners that show nothing."""

from __future__ import annotations

import re
import unicodedata

from pydantic import AfterValidator

_ALIKE = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
"""Scripts with letters that look the same in another one."""
_JOINERS = "\u200c\u200d"
_WORDS = re.compile(r"[^\W\d_]+(?:[" + _JOINERS + r"][^\W\d_]+)*")


def _script(letter: str) -> str | None:
    """Compatibility forms (mathematical letters, full width) are what they stand for."""
    plain = unicodedata.normalize("NFKD", letter)[:1] or letter
    name = unicodedata.name(plain, "")
    return next((script for script in _ALIKE if name.startswith(script)), None)


def check_scripts(text: str) -> str:
    """Raises `ValueError` for a word that mixes scripts whose letters look alike, or hides a joiner among such."""
    for word in _WORDS.findall(text):
        scripts = {_script(letter) for letter in word} - {None}
        if len(scripts) > 1:
            raise ValueError(f"must not mix letters of several scripts in one word: {word}")
        if scripts and any(joiner in word for joiner in _JOINERS):
            raise ValueError("must not contain invisible characters")
    return text


ONE_SCRIPT = AfterValidator(check_scripts)
