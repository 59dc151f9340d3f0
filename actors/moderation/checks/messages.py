"""What the automatic checks find, and the job that looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal


class Check(StrEnum):
    """Which check found it."""

    SECRETS = "secrets"
    PERSONAL_DATA = "personal_data"
    BANNED_TERMS = "banned_terms"
    NEAR_DUPLICATE = "near_duplicate"
    COVERAGE = "coverage"
    """Nothing was found amiss by it: the checks have not looked at everything."""


class Severity(StrEnum):
    """How much it matters if it is true. Even `high` decides nothing by itself."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check noticed, and where; never the secret itself, nor a text that is sealed.

    `listing_id` names the listing that a near-duplicate is like, and `score` how much, from 0 to 1.
    """

    check: Check
    severity: Severity
    code: str
    detail: str
    where: str | None = None
    listing_id: str | None = None
    score: float | None = None


@internal
@job(max_attempts=8, timeout_seconds=60)
class CheckCase(Command[int]):
    """Look for secrets, personal data, banned terms and near-duplicates; answers how many findings there are."""

    case_id: str


@internal
@job(max_attempts=8, timeout_seconds=300)
class FingerprintPublished(Command[int]):
    """Let later texts be compared with every published listing: take the fingerprints of those that have none.

    Some were published before there were fingerprints. Goes on behind `after`; answers how many it took.
    """

    after: str | None = None


@internal
@job(max_attempts=8, timeout_seconds=300)
class RenewFingerprints(Command[int]):
    """Take anew what was taken in another edition, some at a time, and correct what is wrongly remembered as refused.

    What is of the present edition is not touched. Answers how many versions it looked at.
    """
