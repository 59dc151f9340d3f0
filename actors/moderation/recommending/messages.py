"""The job that asks a language model about a case."""

from __future__ import annotations

from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal


@internal
@job(max_attempts=5, timeout_seconds=180)
class RecommendOnCase(Command[str]):
    """Ask the configured model what it would decide, and keep that with the case, once; answers what became of it.

    The model is asked three times at most. No case waits for this, and nothing is decided by it.
    """

    case_id: str
