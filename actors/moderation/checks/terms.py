"""Banned terms: phrases of whole words, found however they are dressed up.

Texts and phrases are brought to one form: NFKC (which undoes width), without what shows nothing and without accents,
letters that only look Latin made Latin, in lower case; and in a second reading digits and signs that stand for letters
read as letters. Letters that are spelled out (`b o m b`, `b.o.m.b`) are read as one word. Only whole words count, so
that no town is banned for the letters within its name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.checks.passages import Passage
from promptforge.core.errors import ConfigurationError

VERSION = 1
"""Which version of the list that comes with this service is in use; older ones stay beside it."""
_LINE = re.compile(r"(low|medium|high)\s+([a-z][a-z0-9-]{1,39})\s+(\S.*)")
_LOOKALIKES = str.maketrans(
    "авсԁеһіјкӏмнорԛѕтуԝхуґзΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβεικνορτυχωıɑɡⅼ",
    "abcdehijklmhopqstywxyr3abezhikmnoptyxabeiknoptyxwiagl",
)
_LEET = (str.maketrans("013457@$!|", "oieastasii"), str.maketrans("013457@$!|", "oleastasll"))
"""1 stands for i and for l."""
_WORD = re.compile(r"[^\W_]+|[@$!|]+(?=\w)", re.UNICODE)
_SPELLED = re.compile(r"(?<![^\W_])(?:[^\W_][ .*_~·-]){2,40}[^\W_](?![^\W_])")
_BETWEEN = re.compile(r"[ .*_~·-]")


@dataclass(frozen=True, slots=True)
class Term:
    words: tuple[str, ...]
    subject: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class TermList:
    """Terms by their first word."""

    name: str
    terms: dict[str, list[Term]] = field(default_factory=dict)

    def find(self, passage: Passage) -> Iterator[Finding]:
        """Each place once, whichever reading finds it."""
        seen: set[tuple[str, str]] = set()
        for reading in readings(passage.text):
            for number, (word, at) in enumerate(reading):
                for term in self.terms.get(word, ()):
                    if tuple(one for one, _ in reading[number : number + len(term.words)]) != term.words:
                        continue
                    place = passage.where(at)
                    if (place, "".join(term.words)) not in seen:
                        seen.add((place, "".join(term.words)))
                        yield _finding(term, self.name, place)


def built_in() -> TermList:
    """The list that comes with this service."""
    name = f"terms.v{VERSION}"
    return parse((files("promptforge.actors.moderation.checks") / f"{name}.txt").read_text("utf-8"), name)


def load(path: Path | None) -> TermList:
    """An operator's list in the place of the built-in one. Raises `ConfigurationError` in one line."""
    if path is None:
        return built_in()
    try:
        return parse(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"MODERATION_TERMS_FILE: {path} cannot be read: {type(error).__name__}") from None


def parse(text: str, name: str) -> TermList:
    """Raises `ConfigurationError`, naming the line that is none."""
    found = TermList(name)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        told = _LINE.fullmatch(line.strip())
        words = tuple(word for word, _ in words_of(_plain(told[3])[0])) if told is not None else ()
        if told is None or not words:
            raise ConfigurationError(f"MODERATION_TERMS_FILE: line {number} is not `severity subject phrase`")
        for form in {words, ("".join(words),)}:  # spelled out, several words are one
            found.terms.setdefault(form[0], []).append(Term(form, told[2], Severity(told[1])))
    return found


Reading = list[tuple[str, int]]
"""Words and where each begins in the text as it was written."""


def readings(text: str) -> tuple[Reading, ...]:
    """The text as it stands, and as it stands with signs read as letters and spelled words put together."""
    plain, origin = _plain(text)
    forms = [(plain, origin)]
    for form in (plain, *(plain.translate(table) for table in _LEET)):
        forms += [_joined(form, origin), _joined(form, origin, article=True)]
    return tuple([(word, places[at]) for word, at in words_of(form)] for form, places in forms)


def words_of(plain: str) -> Iterator[tuple[str, int]]:
    for match in _WORD.finditer(plain):
        yield match[0], match.start()


def _plain(text: str) -> tuple[str, list[int]]:
    """The one form, and for each of its characters where it comes from."""
    characters: list[str] = []
    origin: list[int] = []
    for at, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", character).casefold().translate(_LOOKALIKES):
            if unicodedata.category(part) not in {"Cf", "Mn", "Me"}:
                characters.append(part)
                origin.append(at)
    return "".join(characters), origin


def _joined(plain: str, origin: list[int], *, article: bool = False) -> tuple[str, list[int]]:
    """With words that are spelled out letter by letter put together; `article`: a first a or i is a word of its own."""
    kept = [True] * len(plain)
    for match in _SPELLED.finditer(plain):
        begin = match.start() + 2 * (article and match[0][0] in "ai")
        for gap in _BETWEEN.finditer(plain, begin, match.end()):
            kept[gap.start()] = False
    return (
        "".join(character for character, keep in zip(plain, kept, strict=True) if keep),
        [at for at, keep in zip(origin, kept, strict=True) if keep],
    )


def _finding(term: Term, name: str, place: str) -> Finding:
    phrase = " ".join(term.words)
    return Finding(
        Check.BANNED_TERMS, term.severity, term.subject, f"“{phrase}” is on the list of banned terms ({name})", place
    )
