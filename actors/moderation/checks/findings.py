"""Findings as a case keeps them, each source's in a list of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.core.mongo import Document

_WEIGHT = {Severity.HIGH: 0, Severity.MEDIUM: 1, Severity.LOW: 2}
RULES, DUPLICATES = "rules", "duplicates"
"""The sources."""
MOST = 100
"""Of one source: who needs more than that to judge, has seen enough."""


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, and no more than `MOST`."""
    return sorted(findings, key=lambda finding: _WEIGHT[finding.severity])[:MOST]


class Cut(Protocol):
    """A text that characters may be missing of."""

    @property
    def place(self) -> str: ...
    @property
    def left_out(self) -> int: ...


def worst_first(finding: Finding) -> tuple[int, float]:
    """The order of findings that have a score: by what it would mean, and then by how like it is."""
    return _WEIGHT[finding.severity], -(finding.score or 0.0)


def not_checked(parts: Sequence[Cut]) -> Iterator[Finding]:
    """Where there is more text than is looked at: how much, and of what."""
    cut = [part for part in parts if part.left_out]
    if cut:
        places = ", ".join(part.place for part in cut[:5]) + (f" and {len(cut) - 5} more" if len(cut) > 5 else "")
        number = sum(part.left_out for part in cut)
        detail = f"{number:,} characters were not looked at by the checks, the ends of: {places}"
        yield Finding(Check.COVERAGE, Severity.HIGH, "not_all_checked", detail)


def not_compared(texts: int) -> Iterator[Finding]:
    """`texts`: of how many texts no copies were looked for."""
    if texts > 0:
        detail = f"{texts} texts, older versions or stretches of long ones, were not compared with other listings"
        yield Finding(Check.COVERAGE, Severity.MEDIUM, "not_all_compared", detail)


def worst(findings: Iterable[Finding]) -> Severity | None:
    return min((finding.severity for finding in findings), key=lambda severity: _WEIGHT[severity], default=None)


def findings_of(case: Document) -> tuple[Finding, ...]:
    """All of a stored case."""
    found = [_finding_from(row) for rows in case["findings"].values() for row in rows]
    return tuple(sorted(found, key=lambda finding: _WEIGHT[finding.severity]))


def _finding_from(row: Document) -> Finding:
    return Finding(**{**row, "check": Check(row["check"]), "severity": Severity(row["severity"])})
