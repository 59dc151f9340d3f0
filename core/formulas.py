"""Texts that spreadsheets would read as formulas, whoever has written them (OWASP, "CSV Injection")."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # some take these for the others
_SEPARATORS = frozenset(";|\t\r\n")
"""What separates cells in spreadsheets of many countries, and is nothing special to who writes commas between them.

For these the quotes around the text are in the middle of a cell, so that its lines are rows, and quotes of its own open
and close cells.
"""
_BEHIND = re.compile(r"""(?<![;|\s"'])[;|\s"']++(?=[=+\-@＝＋－＠])""")  # noqa: RUF001  # as above


def harmless(text: str) -> str:
    """The text as a spreadsheet shows it: an apostrophe in front of what would be a formula in a cell of its own."""
    text = _BEHIND.sub(lambda found: found[0] if _SEPARATORS.isdisjoint(found[0]) else f"{found[0]}'", text)
    return f"'{text}" if text.lstrip(" \"'").startswith(_FORMULA) else text
