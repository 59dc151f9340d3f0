"""What a buyer agrees to, in texts that never change: a new wording is a new version, in a file of its own.

EU law lets a consumer withdraw from a distance sale for 14 days, unless digital content was supplied at once, with
their express consent and with their acknowledgement that they lose the right by it (Directive 2011/83/EU, article 16,
point (m)). Credits are there the moment they are paid for, so none are sold without that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from promptforge.actors.billing.errors import WaiverOutdated

WITHDRAWAL_WAIVER = "2026-11-25"
"""The version that is agreed to now."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """Which version somebody agreed to, and when."""

    version: str
    accepted_at: datetime


def waiver_text(version: str = WITHDRAWAL_WAIVER) -> str:
    return files(__package__).joinpath(f"withdrawal-waiver-{version}.md").read_text(encoding="utf-8")


def accept(version: str, *, now: datetime) -> Waiver:
    """Raises `WaiverOutdated` for any version but the present one: whoever agreed has read something else."""
    if version != WITHDRAWAL_WAIVER:
        raise WaiverOutdated(
            "Show the present text of the withdrawal waiver, and send its version", extra={"version": WITHDRAWAL_WAIVER}
        )
    return Waiver(version, now)


def waiver_row(waiver: Waiver | None) -> dict[str, object] | None:
    return asdict(waiver) if waiver is not None else None


def waiver_from(row: Mapping[str, Any]) -> Waiver | None:  # Any: BSON values
    """Of a document that has one; those of before have none."""
    stored = row.get("waiver")
    return Waiver(**stored) if stored else None
