"""Adding up events, by job."""

from __future__ import annotations

from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal


@internal
@job(timeout_seconds=900)
class FoldEvents(Command[int]):
    """Add what was told of since the last time to the sums; answers how many events. Twice, or two at once, is once."""
