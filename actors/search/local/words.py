"""Texts as words and grams: what is indexed, what is looked for, and which pieces of a text were meant.

Words are what stands between spaces and punctuation, in lower case, without accents and points, in their English stem.
What is looked for is taken apart by the index's own analyser, so that both have the same words. Scripts that are
written without spaces (Chinese, Japanese, Thai and their like), Korean, and pictures are taken apart into grams: each
character, and each two that follow each other. Operators mean nothing here: there is no parser.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import tantivy

from promptforge.actors.search.messages import Fragment

LONGEST_WORD = 120
"""In bytes, which are 40 letters of India and 60 of Russia; longer ones are no words that anybody looks for."""
MOST_WORDS = 12
MOST_GRAMS = 24
"""Of a query: what comes after them is not looked for."""
SHOWN = 240
"""Characters of a highlighted field."""
_LEAD = 60
_DENSE = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Korean
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # Japanese
    "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese
    "\u2190-\u2bff\U0001f000-\U0001faff"  # pictures
)
_RUN = re.compile(f"[{_DENSE}]+")


def _signs(*, left_out: bool) -> str:
    """The combining signs as a class of characters, or those of them that are left out of words.

    Accents, points and viramas are, which stand beside or between letters; vowel signs (class 0) are letters. Voicing
    marks of kana (class 8) make other letters, and the dense scripts keep what they have.
    """
    dense = re.compile(f"[{_DENSE}]")
    found = [
        char
        for char in map(chr, range(0x300, 0x1E95B))
        if unicodedata.category(char)[0] == "M"
        and not dense.match(char)
        and (not left_out or unicodedata.combining(char) not in {0, 8})
    ]
    return "".join(map(re.escape, found))


_LEFT_OUT = re.compile(f"[{_signs(left_out=True)}]")
_WORD = re.compile(rf"[^\W_{_DENSE}](?:[^\W_{_DENSE}]|[{_signs(left_out=False)}])*")
_LETTERS = re.compile(r"[^\W_]*")
_FEW = 8
"""Beginnings of words that are looked for one after the other."""
_UNKNOWN = " "
"""A word that no text has."""
_STOP = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "for", "from", "have", "help", "how", "i",
    "if", "in", "into", "is", "it", "me", "my", "need", "of", "on", "or", "please", "prompt", "prompts", "so",
    "some", "something", "that", "the", "their", "them", "then", "there", "these", "this", "to", "want", "was",
    "what", "when", "which", "who", "will", "with", "you", "your",
})  # fmt: skip
"""Words that say little; looked for only where there are no others."""


def analyser(*, stemmed: bool) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for one in (tantivy.Filter.remove_long(LONGEST_WORD), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold()):
        builder = builder.filter(one)
    return builder.filter(tantivy.Filter.stemmer("english")).build() if stemmed else builder.build()


_STEMMED = analyser(stemmed=True)
_PLAIN = analyser(stemmed=False)


@lru_cache(50_000)
def stem(word: str) -> str:
    """Empty for what is no word of the index."""
    return "".join(_STEMMED.analyze(word)[:1])


@lru_cache(50_000)
def plain(word: str) -> str:
    return "".join(_PLAIN.analyze(word)[:1])


def stems(text: str) -> list[str]:
    """As the index has them, of a text that is `normal`."""
    return _STEMMED.analyze(text)


def normal(text: str) -> str:
    """Compatibility forms (full width, ligatures) are what they stand for, and letters are without their signs."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _LEFT_OUT.sub("", unicodedata.normalize("NFKD", text)))


def grams(text: str) -> list[str]:
    """Each once, in order: single characters and pairs."""
    found: dict[str, None] = {}
    for run in _RUN.findall(text):
        found.update(dict.fromkeys(run))
        found.update(dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1)))
    return list(found)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a query looks for: `words` as stems, `plain` the same words as they stand, `grams` of what has no words."""

    words: tuple[str, ...]
    plain: tuple[str, ...]
    grams: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not (self.words or self.grams)


def terms(query: str) -> Terms:
    """Empty where there is nothing to look for; what has only words that are too long is looked for in vain."""
    text = normal(query)
    spaced = _RUN.sub(" ", text)
    pairs: dict[str, str] = {}
    for stemmed, word in zip(_STEMMED.analyze(spaced), _PLAIN.analyze(spaced), strict=True):
        pairs.setdefault(stemmed, word)
    telling = {stemmed: word for stemmed, word in pairs.items() if word not in _STOP} or pairs
    words = tuple(telling)[:MOST_WORDS]
    found = Terms(words, tuple(telling[word] for word in words), tuple(_looked_for(text))[:MOST_GRAMS])
    return Terms((_UNKNOWN,), (_UNKNOWN,), ()) if found.empty and _WORD.search(text) else found


def _looked_for(text: str) -> Iterator[str]:
    """Of a run only the pairs: whoever has all of them has the characters too."""
    seen: set[str] = set()
    for run in _RUN.findall(text):
        for gram in [run] if len(run) == 1 else [run[at : at + 2] for at in range(len(run) - 1)]:
            if gram not in seen:
                seen.add(gram)
                yield gram


def fuzzy_distance(word: str) -> int:
    """How many letters of a word, as it stands, may differ: short ones would be others."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


# What was meant


class Marker:
    """Marks what one query looked for in many texts; `alike` are stems that stand for words of it too.

    `begun`: the last word that is looked for is the beginning of one.
    """

    def __init__(self, looked_for: Terms, alike: frozenset[str] = frozenset(), *, begun: bool = False) -> None:
        self._terms = looked_for
        self._stems = frozenset(looked_for.words) | alike
        self._begun = looked_for.plain[-1] if begun and looked_for.plain else ""
        self._known: dict[str, bool] = {}
        self._beginnings = _beginnings(self._stems, self._begun)
        many = len(self._beginnings) > _FEW
        self._any_of_many = re.compile("|".join(map(re.escape, self._beginnings))) if many else None

    def marked(self, text: str) -> tuple[Fragment, ...]:
        """The text, or the part of it that has the hits, in pieces; empty where nothing was looked for."""
        spans = self._word_spans(text) if self._stems else []
        if self._terms.grams:
            spans += _gram_spans(text, self._terms)
        if not spans:
            return ()
        spans = _joined(sorted(spans))
        first = max(spans[0][0] - _LEAD, 0) if len(text) > SHOWN else 0
        if first:
            first = text.find(" ", first, spans[0][0]) + 1 or first
        text = text[: first + SHOWN]
        pieces: list[Fragment] = []
        at = first
        for start, end in spans:
            if end > len(text):
                continue
            if start > at:
                pieces.append(Fragment(text[at:start], hit=False))
            pieces.append(Fragment(text[start:end], hit=True))
            at = end
        if at < len(text):
            pieces.append(Fragment(text[at:], hit=False))
        return tuple(pieces)

    def _word_spans(self, text: str) -> list[tuple[int, int]]:
        if not text.isascii():
            return [found.span() for found in _WORD.finditer(text) if self._is_meant(found[0])]
        text = text.lower()
        spans = []
        for start, after in self._candidates(text):
            if not (start and text[start - 1].isalnum()):
                end = after + len(_LETTERS.match(text, after)[0])  # type: ignore[index]  # it matches anything
                if self._is_meant(text[start:end]):
                    spans.append((start, end))
        return spans

    def _candidates(self, text: str) -> Iterator[tuple[int, int]]:
        """Where one of the beginnings stands: also within words. Making a pattern takes longer than looking for few."""
        if self._any_of_many is not None:
            yield from (found.span() for found in self._any_of_many.finditer(text))
            return
        for beginning in self._beginnings:
            at = text.find(beginning)
            while at >= 0:
                yield at, at + len(beginning)
                at = text.find(beginning, at + 1)

    def _is_meant(self, word: str) -> bool:
        known = self._known.get(word)
        if known is None:
            letters = normal(word)
            known = stem(letters) in self._stems
            if not known and self._begun:
                known = plain(letters).startswith(self._begun)
            self._known[word] = known
        return known


def _beginnings(stems: frozenset[str], begun: str) -> list[str]:
    """Of words of plain letters, in lower case, that may be meant: an ending changes the last two letters of a stem."""
    found = {one[: max(len(one) - 2, 1)] for one in stems} | ({begun} if begun else set())
    return sorted(found, key=len, reverse=True)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch each other are one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _gram_spans(text: str, looked_for: Terms) -> Iterator[tuple[int, int]]:
    for gram in looked_for.grams:
        at = text.find(gram)
        while at >= 0:
            yield at, at + len(gram)
            at = text.find(gram, at + 1)
