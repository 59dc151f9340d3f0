"""The table of what is held of people, for docs/accounts.md: `python -m tests.support.personal` writes it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from promptforge.core.personal import Erased, Held, Subject
from promptforge.deploy.accounts import HELD

PAGE = Path(__file__).resolve().parents[2] / "docs" / "accounts.md"
BEGIN, END = "<!-- what is held -->\n", "<!-- /what is held -->\n"
_WORDS = {
    Erased.REMOVED: "removed",
    Erased.CLEARED: "cleared",
    Erased.EMPTIED: "emptied",
    Erased.REDUCED: "reduced to what tells nothing of you",
    Erased.REDACTED: "redacted",
    Erased.RENAMED: "redacted",
}
_YEARS = {6: "six", 10: "ten"}


def table() -> str:
    """A row for each collection that tells of people, then those that do not."""
    rows = ["| collection | what it holds of you | when the account is erased |", "|---|---|---|"]
    rows += [f"| `{name}` | {held.what} | {_erased(held)} |" for name, held in sorted(HELD.items()) if held.subjects]
    others = ", ".join(f"`{name}`" for name, held in sorted(HELD.items()) if not held.subjects)
    return "\n".join([*rows, "", f"These tell of nobody, but for internal ids: {others}.", ""])


def _erased(held: Held) -> str:
    said = list(dict.fromkeys(part for subject in held.subjects for part in _of(subject)))
    return "; ".join(said) or "stays: internal ids, amounts and times"


def _of(subject: Subject) -> Iterator[str]:
    if subject.deleted:
        spares = subject.spared or subject.with_owner
        yield "deleted, but for what others have bought, and of that" if spares else "deleted"
    if subject.pulled:
        yield "you are taken out of it"
    for how in dict.fromkeys(_WORDS.values()):
        marked = {name: mark for name, mark in subject.fields.items() if _WORDS.get(mark.erased) == how}
        terms = {f", after {_YEARS[mark.years]} years {_WORDS[mark.then]}" for mark in marked.values() if mark.years}
        if marked:
            yield f"{', '.join(f'`{name}`' for name in marked)} {how}{''.join(sorted(terms))}"
    for kept in dict.fromkeys(mark for mark in subject.fields.values() if mark.because):
        names = [f"`{name}`" for name, mark in subject.fields.items() if mark == kept]
        term = f": {_YEARS[kept.years]} years, then {_WORDS[kept.then]}" if kept.years else ""
        yield f"{', '.join(names)} **kept**: {kept.because}{term}"


def page_with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text()))
