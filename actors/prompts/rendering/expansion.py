"""Putting included prompts in their places: pure, bounded, and the place where circles show.

The prompts are fetched before, into a `Library`. An include is known by the prompt's id and its pin, never by the name
in the text, so that renaming breaks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptforge.actors.prompts.errors import IncludeCycle, IncludeMissing, IncludesTooDeep, IncludesTooLarge
from promptforge.actors.prompts.messages import MAX_EXPANDED_CHARACTERS, Include, Variable
from promptforge.actors.prompts.rendering.templates import IncludePart, VariablePart, parse

MAX_DEPTH = 5
MAX_INCLUDES = 200
"""Texts put in place, repetitions counted."""

Pin = tuple[str, str]
"""Of a prompt by its id: the label, or the version's number in digits."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The version of a text prompt that a pin stands for now."""

    prompt_id: str
    name: str
    version: int
    content: str
    includes: tuple[Include, ...]
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A version of a prompt; without a number, the one that is about to be made."""

    prompt_id: str
    name: str
    version: int | None


Pieces = tuple[str | VariablePart, ...]
Library = Mapping[Pin, Fragment]


@dataclass(frozen=True, slots=True)
class Expanded:
    """Of each text the pieces: text, and variables as they were written. `used` are the fragments, each once."""

    texts: tuple[Pieces, ...]
    used: tuple[Fragment, ...]


def joined(pieces: Pieces) -> str:
    """The text, with its variables left in place."""
    return "".join([piece if isinstance(piece, str) else piece.source for piece in pieces])


def pin_of(include: Include) -> Pin:
    return include.prompt_id, include.label if include.version is None else str(include.version)  # type: ignore[return-value]  # one of them is set


def expand(texts: Sequence[str], includes: tuple[Include, ...], library: Library, *, root: Place) -> Expanded:
    """Resolve all includes of the texts of `root`.

    A circle is a version inside itself. A version that is about to be made can be in none yet: of it (version None),
    any version of the same prompt counts, because that is a circle as soon as a label moves. Raises `IncludeCycle`,
    `IncludesTooDeep` (beyond five levels), `IncludesTooLarge` or `IncludeMissing`.
    """
    expansion = _Expansion(library)
    expanded = []
    for text in texts:
        expansion.pieces = []
        expansion.put(text, includes, (root,))
        expanded.append(tuple(expansion.pieces))
    return Expanded(tuple(expanded), tuple(expansion.used.values()))


class _Expansion:
    def __init__(self, library: Library) -> None:
        self.pieces: list[str | VariablePart] = []
        self.used: dict[Pin, Fragment] = {}
        self._library = library
        self._left = MAX_EXPANDED_CHARACTERS
        self._includes = 0

    def put(self, text: str, includes: tuple[Include, ...], path: tuple[Place, ...]) -> None:
        """`path`: what we are inside of, outermost first."""
        known = {(include.name, pin_of(include)[1]): include for include in includes}
        for part in parse(text):
            if isinstance(part, IncludePart):
                include = known.get((part.name, part.pin))
                if include is None:
                    raise IncludeMissing(f"There is no prompt {part.name!r} to include in {path[-1].name!r}")
                self._include(include, path)
            elif isinstance(part, str):
                self._add(part, len(part))
            elif isinstance(part, VariablePart):
                self._add(part, len(part.source))

    def _include(self, include: Include, path: tuple[Place, ...]) -> None:
        pin = pin_of(include)
        fragment = self._library.get(pin)
        version = None if fragment is None else fragment.version
        if any(place.prompt_id == include.prompt_id and place.version in {version, None} for place in path):
            names = " → ".join([*(place.name for place in path), include.name])
            raise IncludeCycle(f"The prompts include each other in a circle: {names}")
        if len(path) > MAX_DEPTH:
            names = " → ".join([*(place.name for place in path), include.name])
            raise IncludesTooDeep(f"Includes go at most {MAX_DEPTH} levels deep: {names}")
        self._includes += 1
        if self._includes > MAX_INCLUDES:
            raise IncludesTooLarge(f"There may be at most {MAX_INCLUDES} includes, those of includes counted")
        if fragment is None:
            raise IncludeMissing(f"{include.name!r} has no {_spoken(pin[1])}, which {path[-1].name!r} includes")
        self.used[pin] = fragment
        self.put(
            fragment.content, fragment.includes, (*path, Place(fragment.prompt_id, fragment.name, fragment.version))
        )

    def _add(self, piece: str | VariablePart, length: int) -> None:
        self._left -= length
        if self._left < 0:
            raise IncludesTooLarge(f"With its includes the text has more than {MAX_EXPANDED_CHARACTERS} characters")
        self.pieces.append(piece)


def _spoken(pin: str) -> str:
    return f"version {pin}" if pin[0].isdigit() else f"label {pin!r}"
