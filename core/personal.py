"""What the collections hold of people: whose a document is, which fields tell of them, and what erasing them does.

Each store declares `HELD` beside its indexes. The export and the erasure of a person, their documentation and the tests
that look for what was forgotten are made from these declarations alone; nothing else says what is personal.

People are referred to by internal ids, which tell nothing once the person's own document is emptied: they stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

Document = dict[str, Any]  # Any: BSON values
REMOVED_TEXT = "[removed]"
PEOPLE = "users"
_OPAQUE = re.compile(r"[a-z]{2,5}_[0-9a-z]{26}")
_NAMED = re.compile(r"[a-z]{2,6}_\w+")
"""What else stands where an internal id does, in databases from before and of tests."""
_DAYS_A_YEAR = 366
"""A term is never too short for the calendar."""
_PERSON = re.compile(r"usr_[0-9a-z]{26}")


class Erased(StrEnum):
    """What the erasure makes of a field."""

    REMOVED = "removed"
    """It is not there any more."""
    CLEARED = "cleared"
    """Null, as if it had never been filled in."""
    EMPTIED = "emptied"
    """A list or an object without anything in it."""
    REDUCED = "reduced"
    """An object of which only the paths in `Personal.keeps` are left, where they hold no more than one value."""
    REDACTED = "redacted"
    """`[removed]` in the place of a text that has to be there."""
    RENAMED = "renamed"
    """`[removed]` and the document's id, where names have to differ."""
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Personal:
    """The mark of a field that tells something of a person or holds their words.

    What is kept says why, and may have a term: `years` from the time in the field `since`, or from the erasure on where
    there is none. `then` is what becomes of it. `keeps`: the paths that are left of what is reduced, because they tell
    little; it may have a term as well.
    """

    erased: Erased = Erased.REMOVED
    because: str = ""
    years: int | None = None
    since: str | None = None
    then: Erased = Erased.CLEARED
    keeps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.erased is Erased.KEPT) != bool(self.because):
            raise ValueError("what is kept says why, and nothing else does")
        if self.years is not None and self.erased not in {Erased.KEPT, Erased.REDUCED}:
            raise ValueError("only what is kept has a term")
        if (self.erased is Erased.REDUCED) != bool(self.keeps):
            raise ValueError("what is reduced names what is left, and nothing else does")

    @property
    def afterwards(self) -> Personal:
        """The mark when the term is over."""
        return Personal(self.then)

    def is_over(self, document: Document, erased_at: datetime, now: datetime) -> bool:
        """Whether the term is."""
        if self.years is None:
            return False
        began = document.get(self.since) if self.since is not None else None
        return now >= (began or erased_at) + timedelta(days=_DAYS_A_YEAR * self.years)

    def after(self, value: Any, document_id: object) -> Any:  # Any: BSON values
        """What stands in its place; not for what is removed."""
        if value is None or self.erased is Erased.KEPT:
            return value
        if self.erased is Erased.EMPTIED:
            return {} if isinstance(value, dict) else []
        if self.erased is Erased.REDUCED:
            return _reduced(value, self.keeps)
        if self.erased is Erased.RENAMED:
            return f"{REMOVED_TEXT} {document_id}"
        return REMOVED_TEXT if self.erased is Erased.REDACTED else None


REMOVED, CLEARED, EMPTIED, REDACTED, RENAMED = (
    Personal(how) for how in (Erased.REMOVED, Erased.CLEARED, Erased.EMPTIED, Erased.REDACTED, Erased.RENAMED)
)


def kept(
    because: str, *, years: int | None = None, since: str | None = None, then: Erased = Erased.CLEARED
) -> Personal:
    """For good, or for so many years."""
    return Personal(Erased.KEPT, because, years, since, then)


def reduced_to(*paths: str, years: int | None = None, then: Erased = Erased.EMPTIED) -> Personal:
    """At once, and after so many years to nothing."""
    return Personal(Erased.REDUCED, years=years, then=then, keeps=paths)


def left(user_ids: Iterable[str]) -> Document:
    """The filter for those of them whose accounts are closed, for good."""
    return {"_id": {"$in": sorted(user_ids)}, "closed_at": {"$type": "date"}}


def _reduced(value: Any, paths: Iterable[str]) -> Document:  # Any: BSON values
    """What is at the paths of an object; of a list or an object nothing, for nobody has judged what is in there."""
    left: Document = {}
    for path in paths:
        *above, last = path.split(".")
        found, place = value, left
        for name in (*above, last):
            found = found.get(name) if isinstance(found, dict) else None
        if found is None or isinstance(found, dict | list):
            continue
        for name in above:
            place = place.setdefault(name, {})
        place[last] = found
    return left


def marks(mark: Personal, *names: str) -> dict[str, Personal]:
    """The same mark for several fields."""
    return dict.fromkeys(names, mark)


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody whom documents of a collection are about.

    `path` holds their id or, with `of`, the `_id` (or, with `collection:field`, that field) of a document of another
    collection that is theirs. `fields` are marks of top-level fields. `deleted`: the documents go with the person.
    `owned`: they stay, and what other collections hold of them is the person's as well. `pulled`: the array in which
    the person has an element, which goes. `spared`: the fields that make the key (joined by `:`) by which what others
    have bought is known, which is not deleted; `with_owner`: nor is what belongs to a document that is not. `where`:
    which of the documents only. `ended`: which of them the erasure changes; the others are needed until they are so,
    and whatever makes them so erases what is marked here itself. `whole`: the export shows what is marked for other
    subjects as well, because it is shared with this one. `keyed`: each `_id` begins with the person's id and a colon,
    and so they are found, without an index of their own. `inside`: a field and the collection (`field:collection`)
    whose document it names. Who has no part in that document any more is shown ids, numbers, times and what this
    subject has lose its text; not what has been written there since, nor what else is others'. `hides`: fields that the
    export does not show them, each of the documents with these values.
    """

    path: str
    fields: Mapping[str, Personal] = field(default_factory=dict)
    of: str | None = None
    deleted: bool = False
    owned: bool = False
    exported: bool = True
    pulled: str | None = None
    spared: tuple[str, ...] = ()
    with_owner: bool = False
    where: Mapping[str, object] = field(default_factory=dict)
    whole: bool = False
    keyed: bool = False
    inside: str | None = None
    hides: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether the erasure does anything about these documents."""
        marked = any(mark.erased is not Erased.KEPT for mark in self.fields.values())
        return marked or self.deleted or self.pulled is not None

    @property
    def has_terms(self) -> bool:
        return any(mark.years is not None for mark in self.fields.values())

    @property
    def owns(self) -> bool:
        return self.deleted or self.owned

    def wanted(self, user_id: str) -> Document:
        """The filter for what is somebody's."""
        if self.keyed:
            return {"_id": {"$gt": f"{user_id}:", "$lt": f"{user_id};"}, **self.where}  # ";" comes after ":"
        return {self.path: user_id, **self.where}

    def is_hidden(self, name: str, document: Document) -> bool:
        like = self.hides.get(name)
        return like is not None and all(document.get(field) == value for field, value in like.items())

    def is_spared(self, document: Document, spared: frozenset[str]) -> bool:
        return bool(self.spared) and ":".join(str(document.get(name)) for name in self.spared) in spared


@dataclass(frozen=True, slots=True)
class Held:
    """What a collection holds. `plain`: fields (patterns) with text that tells nothing of anybody.

    `secret`: top-level fields that no export shows, because they open something or are sealed.
    """

    what: str
    subjects: tuple[Subject, ...] = ()
    plain: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()

    def declares(self, path: str) -> bool:
        """Whether a declaration covers the field at this path, or one that it is in."""
        names = path.split(".")
        above = [".".join(names[:length]) for length in range(1, len(names) + 1)]
        marked = {name for subject in self.subjects for name in (*subject.fields, subject.path)} | self.secret
        return any(name in marked or any(fnmatchcase(name, plain) for plain in self.plain) for name in above)


def nobody(what: str, *plain: str) -> Held:
    """A collection that tells of no person; without `plain`, nothing in it does."""
    return Held(what, plain=frozenset(plain or ("*",)))


def undeclared(held: Held, document: Document) -> Iterator[str]:
    """The paths of texts that the declaration does not cover. An internal id that is no person's needs none."""
    for path, value in _texts(document, ""):
        shape = _NAMED if path.endswith("_id") else _OPAQUE
        opaque = shape.fullmatch(value) is not None and _PERSON.fullmatch(value) is None
        if not opaque and not held.declares(path):
            yield path


def erasing(subject: Subject, document: Document) -> tuple[Document, Document]:
    """What to set and what to unset in a document of the subject's; both empty where that has been done."""
    return _changed(subject.fields, document)


def ending(subject: Subject, document: Document, *, erased_at: datetime, now: datetime) -> tuple[Document, Document]:
    """The same for what was kept for a term that is over."""
    over = {name: mark for name, mark in subject.fields.items() if mark.is_over(document, erased_at, now)}
    return _changed({name: mark.afterwards for name, mark in over.items()}, document)


def _changed(fields: Mapping[str, Personal], document: Document) -> tuple[Document, Document]:
    put: Document = {}
    gone: Document = {}
    for name, mark in fields.items():
        if name not in document or mark.erased is Erased.KEPT:
            continue
        if mark.erased is Erased.REMOVED:
            gone[name] = ""
        elif (after := mark.after(document[name], document["_id"])) != document[name]:
            put[name] = after
    return put, gone


def exported(held: Held, subject: Subject, document: Document, user_id: str, *, outside: bool = False) -> Document:
    """A document as the export shows it: without secrets, what others wrote, and who they are.

    `outside`: the person has no part in what the document belongs to (`Subject.inside`).
    """
    others = {name for other in held.subjects if other is not subject for name in other.fields}
    others = set() if subject.whole else others
    hidden = (others - subject.fields.keys()) | held.secret
    shown = {name: value for name, value in document.items() if name not in hidden}
    shown = {name: value for name, value in shown.items() if not subject.is_hidden(name, document)}
    if outside:
        shown = {name: value for name, value in shown.items() if _shown_outside(subject, name, value)}
    if subject.pulled is not None:
        inner = subject.path.removeprefix(f"{subject.pulled}.")
        shown[subject.pulled] = [one for one in document.get(subject.pulled) or () if one.get(inner) == user_id]
    anonymous: Document = _without_others(shown, user_id)
    return anonymous


def _shown_outside(subject: Subject, name: str, value: Any) -> bool:  # Any: BSON values
    mark = subject.fields.get(name)
    if mark is not None:
        return mark.erased is not Erased.KEPT
    if isinstance(value, str):
        return name in {"_id", subject.path} or _OPAQUE.fullmatch(value) is not None
    return isinstance(value, int | float | datetime)


def _without_others(value: Any, user_id: str) -> Any:  # Any: BSON values
    if isinstance(value, dict):
        return {str(key): _without_others(one, user_id) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_others(one, user_id) for one in value]
    if isinstance(value, str):
        return _PERSON.sub(lambda found: found[0] if found[0] == user_id else "somebody else", value)
    return value


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:  # Any: BSON values
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, path)
    elif isinstance(value, str):
        yield path, value


def in_order(held: Mapping[str, Held]) -> Iterable[str]:
    """Collections such that what is found through another one comes before it: nothing loses its way to its owner."""
    left = dict(held)
    while left:
        through = {(subject.of or "").partition(":")[0] for one in left.values() for subject in one.subjects}
        ready = sorted(name for name in left if name not in through)
        if not ready:
            raise ValueError(f"these are found through each other: {', '.join(sorted(left))}")
        for name in ready:
            yield name
            del left[name]
