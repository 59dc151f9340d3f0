"""Sums of events: which there are, and what they are kept under.

A day of an owner has sums by kind, and finer ones by kind, prompt, version and variant. Names that an owner's programs
make up without end are added up under `OTHER`, so that a day has a bounded number of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

OTHER = "(other)"
"""The kind of what comes after a day's last sum; no event can have it."""


class Level(StrEnum):
    """How finely sums tell events apart; the value is the mark in their ids."""

    KIND = "k"
    DETAIL = "d"


MOST_A_DAY = {Level.KIND: 200, Level.DETAIL: 2000}


@dataclass(frozen=True, slots=True)
class Label:
    """What events are told apart by."""

    kind: str
    prompt_id: str | None = None
    prompt_version: int | None = None
    variant: str | None = None


ALL_KINDS = Label("")
"""No event has an empty kind."""


@dataclass(frozen=True, slots=True)
class StretchSum:
    """The events of an owner with one label in one day or one hour: how many, and the sum of their values.

    Where they were not told apart, `label` is `ALL_KINDS`.
    """

    start: datetime
    label: Label
    events: int
    value: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The events of an owner in some time: of each day that had any, and of the kinds of which there were most."""

    days: tuple[StretchSum, ...]
    kinds: tuple[StretchSum, ...]


def sum_key(owner: str, level: Level, day: datetime, label: Label) -> str:
    """The `_id` of a day's sum, so that a stretch of days is a range."""
    return f"{day_key(owner, level, day)}:{label.kind if level is Level.KIND else _digest(label)}"


def day_key(owner: str, level: Level, day: datetime) -> str:
    return f"{owner}:{level}:{day:%Y-%m-%d}"


def _digest(label: Label) -> str:
    if label == Label(OTHER):
        return OTHER
    facts = repr((label.kind, label.prompt_id, label.prompt_version, label.variant))
    return blake2b(facts.encode(), digest_size=12).hexdigest()
