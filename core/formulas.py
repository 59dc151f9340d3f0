"""Texts that spreadsheets would read as formulas, whoever has written them (OWASP, "CSV Injection")."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # some take these for the others
_BEHIND_A_SEPARATOR = re.compile(r"([;|\t]\s*)(?=[=+\-@＝＋－＠])")  # noqa: RUF001  # as above
"""What separates cells in spreadsheets of many countries, and is nothing special to who writes commas between them."""


def harmless(text: str) -> str:
    """The text as a spreadsheet shows it: an apostrophe in front of what would be a formula in a cell of its own."""
    text = _BEHIND_A_SEPARATOR.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
