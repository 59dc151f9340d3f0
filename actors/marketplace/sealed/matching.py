"""How much of a sealed text an output gives away, in whatever disguise.

Both are taken down to their bare letters, and every window of so many letters of the sealed text is known by a hash:
as it is, reversed, with its words in reverse order or each turned round, without vowels, and shifted along the
alphabet. Every disguise that an output may be (`disguises.py`) is looked up in those. A copy of a word or a phrase is
nothing; copies are measured by the longest of them and by what they cover of the sealed text together.

What this cannot see: what says the same in other words or in another language, and what comes in pieces that are
shorter than a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.marketplace.sealed.disguises import rot47, surfaces
from promptforge.actors.marketplace.sealed.spelling import Codes, alike, letters, plain, steps, unleeted, words

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

FEWEST_LETTERS = 40
"""A shorter text cannot be told from what anybody might say."""
BLOCK = 8
"""Letters; what was copied of a text is remembered by blocks."""
_WINDOW = 18
_DENSE_WINDOW = 7
_DENSE_FROM = 0x2E80
"""Chinese, Japanese and Korean: a letter of theirs says as much as three of others."""
_DENSE = 3
_BASE = 0x9E3779B97F4A7C15
_TABLE_BITS = 18
_VOWELS = np.array([ord(one) for one in "aeiou"], np.uint32)


@dataclass(frozen=True, slots=True)
class Limits:
    """In bare letters, and in parts of the sealed text. What is withheld is not shown; a trace is shown and counted.

    Either the longest copy is as long as `…_run`, or all of them together cover `…_share` of the text, or as many
    letters as `…_letters`.
    """

    withheld_run: int = 60
    withheld_share: float = 0.25
    withheld_letters: int = 300
    trace_run: int = 32
    trace_share: float = 0.08
    trace_letters: int = 100


@dataclass(frozen=True, slots=True)
class Match:
    """`run`: letters of the longest copy; `letters`: of the sealed text in all of them, which is `share` of it.

    `blocks`: where in it, a bit for each eight letters. `all_read`: false where the output has more encodings within
    encodings than are taken apart.
    """

    run: int
    letters: int
    share: float
    blocks: bytes
    all_read: bool = True


def joined(*blocks: bytes) -> bytes:
    """The blocks of several outputs together."""
    longest = max(map(len, blocks), default=0)
    found = 0
    for one in blocks:
        found |= int.from_bytes(one.ljust(longest, b"\0"))
    return found.to_bytes(longest)


NOTHING = Match(0, 0, 0.0, b"")
UNREAD = replace(NOTHING, all_read=False)


class Sealed:
    """A sealed text, prepared for looking things up in it. `texts` are its pieces between variables."""

    def __init__(self, texts: Sequence[str]) -> None:
        texts = [plain(text) for text in texts]
        self.letters = _concatenated([letters(text) for text in texts])
        dense = len(self.letters) > 0 and float(np.mean(self.letters >= _DENSE_FROM)) > 0.3
        self.scale = _DENSE if dense else 1
        self.window = _DENSE_WINDOW if dense else _WINDOW
        variants = list(_variants(texts, self.letters))
        hashes = [_windows(codes, self.window) for codes, _ in variants]
        starts = [places[: len(found)] for found, (_, places) in zip(hashes, variants, strict=True)]
        ends = [places[self.window - 1 :][: len(found)] for found, (_, places) in zip(hashes, variants, strict=True)]
        order = np.argsort(every := _concatenated_hashes(hashes), kind="stable")
        self._hashes = every[order]
        self._first = np.minimum(_concatenated_places(starts), _concatenated_places(ends))[order]
        self._last = np.maximum(_concatenated_places(starts), _concatenated_places(ends))[order]
        self._table = np.zeros(1 << _TABLE_BITS, np.bool_)
        self._table[_slots(self._hashes)] = True

    def __len__(self) -> int:
        return len(self.letters)

    def holds(self, hashes: Hashes) -> Flags:
        found = self._table[_slots(hashes)]
        at = np.flatnonzero(found)
        found[at] = _are_in(hashes[at], self._hashes)
        return found

    def covered_by(self, hashes: Hashes) -> Flags:
        """Which of the letters are in one of these windows."""
        known = np.unique(hashes)
        low = np.searchsorted(self._hashes, known, "left")
        high = np.searchsorted(self._hashes, known, "right")
        marks = np.zeros(len(self) + 1, np.int64)
        for start, end in zip(low, high, strict=True):
            for place in range(start, end):
                if self._last[place] - self._first[place] <= 4 * self.window:
                    marks[self._first[place]] += 1
                    marks[self._last[place] + 1] -= 1
        return np.cumsum(marks[:-1]) > 0

    def blocks_from(self, before: Sealed, blocks: bytes) -> bytes:
        """What is shown of this text where these blocks of an earlier version were: by the passages they share."""
        mine, theirs = _windows(alike(self.letters), self.window), _windows(alike(before.letters), self.window)
        order = np.argsort(mine, kind="stable")
        shared = np.flatnonzero(_are_in(theirs, mine[order]))
        here = order[np.searchsorted(mine[order], theirs[shared])]
        shown = np.repeat(np.unpackbits(np.frombuffer(blocks, np.uint8)), BLOCK).astype(np.bool_)
        shown = np.concatenate([shown, np.zeros(len(before), np.bool_)])[: len(before)]
        covered = np.zeros(len(self), np.bool_)
        for place in range(self.window):
            covered[here[shown[shared + place]] + place] = True
        return _blocks(covered)

    def hashes_of(self, text: str) -> Hashes:
        """The windows of another text, turned in the same ways."""
        found = []
        for surface in (plain(text), unleeted(plain(text))):
            found += [_windows(codes, self.window) for codes, _ in _variants([surface], letters(surface))]
        return np.unique(_concatenated_hashes(found))


def compare(sealed: Sealed, output: str, known: Sequence[str] = ()) -> Match:
    """What `output` copies of the sealed text, but for what is in the `known` texts: those of whoever asked for it."""
    if len(sealed) < sealed.window:
        return NOTHING
    gap = np.zeros(1, np.uint32)
    read = surfaces(output)
    nothing = NOTHING if read.all else UNREAD
    codes = _concatenated([part for view in _views(read.texts) for part in (view, gap)])
    hashes = _windows(codes, sealed.window)
    hit = sealed.holds(hashes)
    if hit.any() and known:
        hit &= ~_are_in(hashes, sealed.hashes_of("\n".join(known)))
    if not hit.any():
        return nothing
    covered = sealed.covered_by(hashes[hit])
    run = _longest(hit) + sealed.window - 1
    letters_copied = int(covered.sum()) * sealed.scale
    return Match(run * sealed.scale, letters_copied, float(covered.mean()), _blocks(covered), read.all)


def is_withheld(sealed: Sealed, match: Match, limits: Limits) -> bool:
    """Of a short text, a copy of most of it is as much as a long copy. So is what could not be read to its end."""
    if not match.all_read:
        return True
    longest = min(limits.withheld_run, max(sealed.window, round(0.6 * len(sealed))) * sealed.scale)
    much = match.share >= limits.withheld_share or match.letters >= limits.withheld_letters
    return match.run >= longest or (much and match.letters >= longest)


def is_trace(match: Match, limits: Limits) -> bool:
    much = match.share >= limits.trace_share or match.letters >= limits.trace_letters
    return match.run >= limits.trace_run or (much and match.letters >= limits.trace_run)


def is_much(blocks: bytes, sealed: Sealed, limits: Limits) -> bool:
    """Whether these blocks, of several outputs, come to what one may not show."""
    letters = BLOCK * int.from_bytes(blocks).bit_count()
    much = letters >= limits.withheld_share * len(sealed) or letters * sealed.scale >= limits.withheld_letters
    return much and letters * sealed.scale >= limits.withheld_run


# Turning the sealed text round


def _variants(texts: Sequence[str], whole: Codes) -> Iterator[tuple[Codes, NDArray[np.int64]]]:
    """What copies may look like, and for each of its letters the place in the text that it comes from."""
    places = np.arange(len(whole))
    yield alike(whole), places
    yield alike(whole[::-1]), places[::-1]
    if len(bounds := _word_bounds(texts, whole)) > 1:
        spans = list(pairwise(bounds))
        backwards = np.concatenate([places[start:end] for start, end in reversed(spans)])
        yield alike(whole[backwards]), backwards
        turned = np.concatenate([places[start:end][::-1] for start, end in spans])
        yield alike(whole[turned]), turned
        for arranged in (backwards, turned):
            latin = arranged[_is_latin(whole[arranged])]
            yield steps(whole[arranged]), latin
    consonants = places[~np.isin(whole, _VOWELS)]
    yield alike(whole[consonants]), consonants
    once = places[_differs(whole)]
    yield alike(whole[once]), once
    latin = places[_is_latin(whole)]
    yield steps(whole), latin
    yield steps(whole[::-1]), latin[::-1]
    yield steps(np.uint32(ord("a") + ord("z")) - whole[latin]), latin


def _is_latin(codes: Codes) -> Flags:
    return (codes >= ord("a")) & (codes <= ord("z"))


def _differs(codes: Codes) -> Flags:
    """From the letter before it: of letters that are doubled or tripled one is left."""
    found = np.ones(len(codes), np.bool_)
    found[1:] = codes[1:] != codes[:-1]
    return found


def _word_bounds(texts: Sequence[str], whole: Codes) -> list[int]:
    bounds = [0]
    for text in texts:
        for word in words(text):
            bounds.append(bounds[-1] + len(letters(word)))
    return bounds if bounds[-1] == len(whole) else []


# Taking an output apart


def _views(texts: Sequence[str]) -> Iterator[Codes]:
    for surface in texts:
        bare = letters(surface)
        yield alike(bare)
        yield alike(bare[_differs(bare)])
        yield steps(bare)
        yield alike(letters(unleeted(surface)))
        yield alike(letters(rot47(surface)))
        for start in (0, 1):
            yield alike(bare[start::2])
            yield alike(letters(surface[start::2]))
        parts = words(surface)
        for apart in (2, 3):
            for start in range(apart):
                yield alike(letters("".join(parts[start::apart])))
        yield alike(letters("".join(word[0] for word in parts)))
        yield alike(letters("".join(word[-1] for word in parts)))
        lines = [found for line in surface.splitlines() if (found := words(line))]
        if len(lines) > 1:
            yield alike(letters("".join(line[0][0] for line in lines)))
            yield alike(letters("".join(line[0] for line in lines)))
            yield alike(letters("".join(line[-1] for line in lines)))


# Windows


def _powers(length: int) -> tuple[Hashes, Hashes]:
    if length > len(_POWERS[0]):
        size = max(length, 2 * len(_POWERS[0]))
        inverse = pow(_BASE, -1, 1 << 64)
        _POWERS[:] = [_series(_BASE, size), _series(inverse, size)]
    return _POWERS[0][:length], _POWERS[1][:length]


def _series(base: int, size: int) -> Hashes:
    series = np.full(size, base, np.uint64)
    series[0] = 1
    return np.cumprod(series, dtype=np.uint64)


_POWERS: list[Hashes] = [_series(_BASE, 1), _series(1, 1)]


def _windows(codes: Codes, width: int) -> Hashes:
    """A hash for each window: of the polynomial of its letters, modulo 2**64."""
    if len(codes) < width:
        return np.zeros(0, np.uint64)
    powers, inverses = _powers(len(codes))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes.astype(np.uint64) * powers, out=sums[1:])
    found: Hashes = (sums[width:] - sums[:-width]) * inverses[: len(codes) - width + 1]
    return found


def _slots(hashes: Hashes) -> NDArray[np.uint64]:
    return hashes >> np.uint64(64 - _TABLE_BITS)


def _are_in(hashes: Hashes, ordered: Hashes) -> Flags:
    if not len(ordered):
        return np.zeros(len(hashes), np.bool_)
    at = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
    return np.asarray(ordered[at] == hashes)


def _longest(flags: Flags) -> int:
    """The most that follow each other."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def _blocks(covered: Flags) -> bytes:
    """Those of which at least a half is covered: over many short pieces, what is rounded down and up is the same."""
    padded = np.zeros(-(-len(covered) // BLOCK) * BLOCK, np.bool_)
    padded[: len(covered)] = covered
    return np.packbits(padded.reshape(-1, BLOCK).sum(axis=1) >= BLOCK // 2).tobytes()


def _concatenated(parts: Sequence[Codes]) -> Codes:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def _concatenated_hashes(parts: Sequence[Hashes]) -> Hashes:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _concatenated_places(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
