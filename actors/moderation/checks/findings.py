"""Findings as a case keeps them, each source's in a list of its own."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.core.mongo import Document

_WEIGHT = {Severity.HIGH: 0, Severity.MEDIUM: 1, Severity.LOW: 2}
MOST = 100
"""Of one source: who needs more than that to judge, has seen enough."""


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, and no more than `MOST`."""
    return sorted(findings, key=lambda finding: _WEIGHT[finding.severity])[:MOST]


def worst(findings: Iterable[Finding]) -> Severity | None:
    return min((finding.severity for finding in findings), key=lambda severity: _WEIGHT[severity], default=None)


def findings_of(case: Document) -> tuple[Finding, ...]:
    """All of a stored case."""
    found = [_finding_from(row) for rows in case["findings"].values() for row in rows]
    return tuple(sorted(found, key=lambda finding: _WEIGHT[finding.severity]))


def _finding_from(row: Document) -> Finding:
    return Finding(**{**row, "check": Check(row["check"]), "severity": Severity(row["severity"])})
