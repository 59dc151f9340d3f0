"""Texts that spreadsheets would read as formulas, whoever has written them (OWASP, "CSV Injection")."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # some take these for the others


def harmless(text: str) -> str:
    """The text as a spreadsheet shows it: an apostrophe in front where it begins like a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
