"""Asking for exports, watching them, and getting their files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.core.clock import Instant
from promptforge.core.downloads import Download
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

MOST_AT_ONCE = 3
"""Exports of one user that wait or are written."""
QUEUE = "exports"
KEPT = timedelta(days=7)

ExportId = Annotated[str, Len(1, 64)]


class ExportSource(StrEnum):
    """What is exported: yours, but for `market` and `ledger`, which are everybody's and for administrators."""

    USAGE = "usage"
    EVENTS = "events"
    SALES = "sales"
    PURCHASES = "purchases"
    TRANSACTIONS = "transactions"
    MARKET = "market"
    LEDGER = "ledger"


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class ExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """Why there is no file."""

    code: Annotated[str, Field(examples=["export_too_large"])]
    detail: Annotated[str, Field(examples=["An export has at most 10,000,000 rows: choose a shorter time"])]


@dataclass(frozen=True, slots=True)
class ExportView:
    """An export. `rows` and `size` (bytes) are what is written; `rows_expected` is about how many there will be.

    The file can be had until `expires_at`; `sha256` is of its bytes.
    """

    id: str
    source: ExportSource
    format: ExportFormat
    since: datetime | None
    until: datetime
    state: ExportState
    rows: int
    rows_expected: int | None
    size: int
    sha256: Annotated[str | None, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    failure: ExportFailure | None
    job_id: str
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None


@requires(scope="exports:write")
class RequestExport(Command[ExportView]):
    """Have everything of one kind written into a file, by a job; `location` is the export.

    `usage`: your runs; `events`: what your programs told of; `sales` (without who bought), `purchases` and
    `transactions`: yours; for administrators `market`: its figures day by day, and `ledger`: every leg. What lies
    between `from` and `to` (the moment of asking). In CSV, texts that a spreadsheet would read as a formula begin with
    an apostrophe. At most three at once (409 `too_many_exports`); 10,000,000 rows and 4 GiB each.
    """

    source: ExportSource
    format: ExportFormat = ExportFormat.CSV
    since: Annotated[Instant | None, Field(alias="from", examples=["2026-11-01T00:00:00Z"])] = None
    until: Annotated[Instant | None, Field(alias="to", examples=["2026-12-01T00:00:00Z"])] = None


@requires(scope="exports:read")
class ListExports(Query[Page[ExportView]]):
    """List your exports, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="exports:read")
class GetExport(Query[ExportView]):
    """Read how an export of yours stands."""

    export_id: ExportId


@requires(scope="exports:write", while_suspended=True)
class CancelExport(Command[ExportView]):
    """Stop an export that waits or is being written; what is written of its file is removed."""

    export_id: ExportId


@requires(scope="exports:read")
class DownloadExport(Query[Download]):
    """Get the file of an export, whole or by range; what broke off is gone on with by `Range` and `If-Range`.

    409 `export_not_ready` before it is finished, 410 `export_expired` a week after.
    """

    export_id: ExportId


@internal
@job(queue=QUEUE, max_attempts=5, timeout_seconds=7200)
class RunExport(Command[None]):
    """Write an export's file."""

    export_id: str


@internal
@job(timeout_seconds=600)
class SweepExports(Command[int]):
    """Remove files whose time is over, or that nobody wants; end exports whose job is gone. Answers how many."""


@internal
class ForgetExports(Command[int]):
    """Delete every export of a user, with its file; answers how many there were."""

    user_id: str
