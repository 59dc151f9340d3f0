"""Comparing Stripe with what is known here: asked for by operators, and made every night."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal, requires
from promptforge.core.principal import Role


@dataclass(frozen=True, slots=True)
class ReconciliationStarted:
    """The job that compares Stripe with what is known here; its result is the report."""

    job_id: str


@requires(Role.OPERATOR, Role.ADMIN)
class RequestReconciliation(Command[ReconciliationStarted]):
    """Compare Stripe's events, refunds and disputes of the last 30 days with what is known here, and apply what is not.

    It is a job, whose result says what never arrived. It also runs every night.
    """


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """What was looked at, and what of it was not known. `unresolved` names at most a hundred that did not apply."""

    events: int
    events_recorded: int
    refunds: int
    refunds_applied: int
    disputes: int
    disputes_applied: int
    unresolved: tuple[str, ...]


@internal
@job(timeout_seconds=3600, max_attempts=5)
class ReconcileStripe(Command[ReconciliationReport]):
    """What `RequestReconciliation` asks for."""
