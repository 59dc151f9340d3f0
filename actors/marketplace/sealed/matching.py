"""How much of a sealed text an output gives away, in whatever disguise.

Both are taken down to their bare letters, and every window of so many letters of the sealed text is known by a hash:
as it is, reversed, with its words in reverse order, each turned round, or the odd ones before the even ones, without
some of its letters, such as vowels, and shifted along the alphabet. Every disguise that an output may be
(`disguises.py`) is looked up in those. A copy of a word or a phrase is nothing; copies are measured by the longest of
them and by what they cover of the sealed text together. Copies with faults in them are looked for besides (`near.py`).

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
from promptforge.actors.marketplace.sealed.near import Chains, Seeds
from promptforge.actors.marketplace.sealed.spelling import Codes, alike, letters, plain, steps, unleeted, words
from promptforge.actors.marketplace.sealed.windows import Flags, Hashes, all_between, are_in, longest, windows_of

FEWEST_LETTERS = 40
"""A shorter text cannot be told from what anybody might say."""
MOST_LETTERS = 100_000
"""Of what is offered: a longer text takes too long to look things up in."""
BLOCK = 8
"""Letters; what was copied of a text is remembered by blocks."""
_WINDOW = 18
_DENSE_WINDOW = 7
_DENSE_FROM = 0x2E80
"""Chinese, Japanese and Korean: a letter of theirs says as much as three of others."""
_DENSE = 3
_TABLE_BITS = 18
_CHUNK = 16_384
"""Characters of what somebody sent that are looked at together, with so many of those before them:"""
_OVERLAP = 512
MOST_KNOWN = 200_000
"""Characters of what somebody sent that an output may repeat."""
_SPARED = tuple(
    np.array([chr(code) in some for code in range(128)], np.bool_) for some in ("aeiou", "jkqvwxyz", "bcdfghlmnprst")
)
"""Left out, one set at a time: those of one set that were put between or behind words, or in place of others."""


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
    encodings than are taken apart, or more pieces of a few letters than are put together. `near`: letters of the
    longest copy with faults in it. `excused`: of the longest one that whoever asked had sent themselves.
    """

    run: int
    letters: int
    share: float
    blocks: bytes
    all_read: bool = True
    near: int = 0
    excused: int = 0


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
        hashes = [windows_of(codes, self.window) for codes, _ in variants]
        starts = [places[: len(found)] for found, (_, places) in zip(hashes, variants, strict=True)]
        ends = [places[self.window - 1 :][: len(found)] for found, (_, places) in zip(hashes, variants, strict=True)]
        order = np.argsort(every := _concatenated_hashes(hashes), kind="stable")
        self._hashes = every[order]
        self._first = np.minimum(_concatenated_places(starts), _concatenated_places(ends))[order].astype(np.int32)
        self._last = np.maximum(_concatenated_places(starts), _concatenated_places(ends))[order].astype(np.int32)
        self._table = np.zeros(1 << _TABLE_BITS, np.bool_)
        self._table[_slots(self._hashes)] = True
        self.seeds = None if dense else Seeds(alike(self.letters))

    def __len__(self) -> int:
        return len(self.letters)

    @property
    def bytes_kept(self) -> int:
        kept = (self.letters, self._hashes, self._first, self._last, self._table)
        return sum(array.nbytes for array in kept) + (self.seeds.bytes_kept if self.seeds is not None else 0)

    def holds(self, hashes: Hashes) -> Flags:
        found = self._table[_slots(hashes)]
        at = np.flatnonzero(found)
        found[at] = are_in(hashes[at], self._hashes)
        return found

    def covered_by(self, hashes: Hashes) -> Flags:
        """Which of the letters are in one of these windows."""
        known = np.unique(hashes)
        low = np.searchsorted(self._hashes, known, "left")
        high = np.searchsorted(self._hashes, known, "right")
        found = all_between(low, high)
        first, last = self._first[found], self._last[found]
        together = last - first <= 4 * self.window
        marks = np.bincount(first[together], minlength=len(self) + 1)
        marks -= np.bincount(last[together] + 1, minlength=len(self) + 1)
        return np.cumsum(marks[:-1]) > 0

    def blocks_from(self, before: Sealed, blocks: bytes) -> bytes:
        """What is shown of this text where these blocks of an earlier version were: by the passages they share."""
        mine, theirs = windows_of(alike(self.letters), self.window), windows_of(alike(before.letters), self.window)
        order = np.argsort(mine, kind="stable")
        shared = np.flatnonzero(are_in(theirs, mine[order]))
        here = order[np.searchsorted(mine[order], theirs[shared])]
        shown = np.repeat(np.unpackbits(np.frombuffer(blocks, np.uint8)), BLOCK).astype(np.bool_)
        shown = np.concatenate([shown, np.zeros(len(before), np.bool_)])[: len(before)]
        covered = np.zeros(len(self), np.bool_)
        for place in range(self.window):
            covered[here[shown[shared + place]] + place] = True
        return _blocks(covered)


def letters_in(texts: Sequence[str]) -> int:
    """How long a sealed text is, before anything is made of it."""
    return sum(len(letters(plain(text))) for text in texts)


def compare(sealed: Sealed, output: str, known: Sequence[str] = ()) -> Match:
    """What `output` copies of the sealed text, but for what is in the `known` texts: those of whoever asked for it."""
    if len(sealed) < sealed.window:
        return NOTHING
    gap = np.zeros(1, np.uint32)
    read = surfaces(output)
    codes = _concatenated([part for view in _views(read.texts) for part in (view, gap)])
    hashes = windows_of(codes, sealed.window)
    hit = sealed.holds(hashes)
    excused = 0
    if hit.any() and known:
        told = np.zeros(len(hit), np.bool_)
        told[hit] = are_in(hashes[hit], _told(np.unique(hashes[hit]), known, sealed.window))
        excused, hit = _letters_of(told, sealed), hit & ~told
    chains = [_near(sealed, alike(letters(text)), known) for text in read.texts]
    near = [one for each in chains for one in each.found]
    all_read = read.all and all(each.all for each in chains)
    if not (hit.any() or near or excused):
        return NOTHING if all_read else UNREAD
    covered = sealed.covered_by(hashes[hit])
    for chain in near:
        covered[chain.places] = True
    return Match(
        _letters_of(hit, sealed),
        int(covered.sum()) * sealed.scale,
        float(covered.mean()),
        _blocks(covered) if covered.any() else b"",
        all_read,
        near=max(map(len, near), default=0),
        excused=excused,
    )


def _letters_of(windows: Flags, sealed: Sealed) -> int:
    """Of the longest copy."""
    most = longest(windows)
    return (most + sealed.window - 1) * sealed.scale if most else 0


def _near(sealed: Sealed, codes: Codes, known: Sequence[str]) -> Chains:
    """Copies with faults, but for what of them was sent by whoever asked."""
    if sealed.seeds is None:
        return Chains([], all=True)
    chains = sealed.seeds.near(codes)
    if not (chains.found and known):
        return chains
    windows = [windows_of(codes[one.begins : one.ends], sealed.window) for one in chains.found]
    told = _told(np.unique(_concatenated_hashes(windows)), known, sealed.window)
    sent = [_letters_in(are_in(own, told), sealed.window) for own in windows]
    rests = [one.without(own) for one, own in zip(chains.found, sent, strict=True)]
    return Chains([one for one in rests if one is not None], chains.all)


def _letters_in(windows: Flags, width: int) -> Flags:
    """Which letters are in one of the windows that are flagged."""
    return np.convolve(windows, np.ones(width, np.int64)) > 0


def _told(wanted: Hashes, known: Sequence[str], width: int) -> Hashes:
    """Which of these windows are in what somebody sent, turned in the ways that the sealed text is; in order.

    Piece by piece, and by the few windows that hit: what is sent may be thousands of times as long as an output.
    """
    text = "\n".join(known)[:MOST_KNOWN]
    found = np.zeros(len(wanted), np.bool_)
    for start in range(0, len(text), _CHUNK):
        piece = plain(text[max(0, start - _OVERLAP) : start + _CHUNK])
        for surface in {piece, unleeted(piece)}:
            for codes, _ in _variants([surface], letters(surface)):
                hashes = windows_of(codes, width)
                found[np.searchsorted(wanted, hashes[are_in(hashes, wanted)])] = True
        if found.all():
            break
    return wanted[found]


def is_withheld(sealed: Sealed, match: Match, limits: Limits) -> bool:
    """Of a short text, a copy of most of it is as much as a long copy. So is what could not be read to its end."""
    if not match.all_read:
        return True
    longest = min(limits.withheld_run, max(sealed.window, round(0.6 * len(sealed))) * sealed.scale)
    much = match.share >= limits.withheld_share or match.letters >= limits.withheld_letters
    return match.run >= longest or match.near >= 2 * longest or (much and match.letters >= longest)


def is_trace(match: Match, limits: Limits) -> bool:
    much = match.share >= limits.trace_share or match.letters >= limits.trace_letters
    return bool(match.near) or match.run >= limits.trace_run or (much and match.letters >= limits.trace_run)


def is_guessed(match: Match, limits: Limits) -> bool:
    """Whether it would have been withheld if whoever asked had not sent that themselves: so one tries a guess."""
    return match.excused >= limits.withheld_run


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
        odd_and_even = np.concatenate([places[start:end] for start, end in (*spans[::2], *spans[1::2])])
        yield alike(whole[odd_and_even]), odd_and_even
    for spared in _SPARED:
        others = places[~_is_one_of(whole, spared)]
        yield alike(whole[others]), others
    once = places[_differs(whole)]
    yield alike(whole[once]), once
    latin = places[_is_latin(whole)]
    yield steps(whole), latin
    yield steps(whole[::-1]), latin[::-1]
    yield steps(np.uint32(ord("a") + ord("z")) - whole[latin]), latin


def _is_one_of(codes: Codes, ascii_letters: Flags) -> Flags:
    return ascii_letters[np.minimum(codes, len(ascii_letters) - 1)]


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
        for spared in _SPARED:
            yield alike(bare[~_is_one_of(bare, spared)])
        yield alike(letters(unleeted(surface)))
        yield alike(letters(rot47(surface)))
        for start in (0, 1):
            yield alike(bare[start::2])
            yield alike(_letters_swapped(bare, start))
            yield alike(letters(surface[start::2]))
            yield alike(letters("".join(_swapped(surface, start))))
        parts = words(surface)
        for start in (0, 1):
            yield alike(letters("".join(_swapped(parts, start))))
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


def _letters_swapped(bare: Codes, start: int) -> Codes:
    """Each letter with the next one."""
    turned = bare.copy()
    last = start + (len(bare) - start) // 2 * 2
    turned[start:last:2], turned[start + 1 : last : 2] = bare[start + 1 : last : 2], bare[start:last:2]
    return turned


def _swapped(parts: Sequence[str], start: int) -> list[str]:
    turned = list(parts)
    last = start + (len(parts) - start) // 2 * 2
    turned[start:last:2], turned[start + 1 : last : 2] = parts[start + 1 : last : 2], parts[start:last:2]
    return turned


# Places


def _slots(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - _TABLE_BITS)


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
