"""The command line's views of jobs and of the ledger, straight from the database; a service may run beside them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.messages import LedgerReport, LedgerSeal
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.jobs.domain import shown_state
from promptforge.core.clock import SystemClock
from promptforge.core.errors import ConfigurationError, NotFound
from promptforge.core.jobs import Codec, Job, MongoJobStore
from promptforge.core.mongo import Mongo, refuse_unmigrated
from promptforge.core.pages import Page
from promptforge.deploy.database import open_database
from promptforge.deploy.features import QUEUES, job_messages
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.settings import load_settings

T = TypeVar("T")
_seals = TypeAdapter(LedgerSeal)


def _with_database(data_dir: Path | None, work: Callable[[Mongo], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(load_settings(data_dir=data_dir)) as database:
            return await work(database.mongo)

    return anyio.run(run)


def _store(mongo: Mongo) -> MongoJobStore:
    return MongoJobStore(mongo, Codec(job_messages()), SystemClock(), queues=QUEUES)


def print_jobs(*, state: str | None, kind: str | None, limit: int, data_dir: Path | None) -> None:
    """A table of jobs, newest first."""
    filters = {name: value for name, value in (("state", state), ("kind", kind)) if value is not None}

    async def read(mongo: Mongo) -> Page[Job]:
        return await _store(mongo).console.list_page(filters, None, limit)

    page = _with_database(data_dir, read)
    now = SystemClock().now()
    table = Table(title="Jobs, newest first", title_justify="left")
    for column in ("id", "kind", "state", "attempt", "created", "last error"):
        table.add_column(column)
    for job in page.items:
        last = job.errors[-1].error if job.errors else ""
        attempts = f"{job.attempt}/{job.max_attempts}"
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(job.id, job.kind, shown_state(job, now).value, attempts, created, last)
    console = Console()
    console.print(table if page.items else "No jobs.")
    if page.next is not None:
        console.print(f"More than {limit}: narrow it with --state or --kind, or raise --limit.")


def print_job(job_id: str, *, data_dir: Path | None) -> None:
    """One job; its payload is left out. Raises `NotFound`."""

    async def read(mongo: Mongo) -> Job:
        return await _store(mongo).get(job_id)

    job = _with_database(data_dir, read)
    table = Table(show_header=False)
    for name in ("id", "kind", "queue", "owner_id", "request_id", "created_at", "run_at", "started_at", "finished_at"):
        table.add_row(name, str(getattr(job, name)))
    table.add_row("state", shown_state(job, SystemClock().now()).value)
    table.add_row("attempt", f"{job.attempt} of {job.max_attempts}; lost with its process {job.lost} times")
    for error in job.errors:
        table.add_row(f"attempt {error.attempt}", f"{error.at:%Y-%m-%d %H:%M:%S}  {error.error}: {error.detail}")
    Console().print(table)


def print_head(*, data_dir: Path | None) -> None:
    """One line of JSON. Raises `NotFound` where nothing is sealed yet."""

    async def read(mongo: Mongo) -> LedgerSeal | None:
        await refuse_unmigrated(mongo, MIGRATIONS)
        return await LedgerSeals(mongo).find_head()

    found = _with_database(data_dir, read)
    if found is None:
        raise NotFound("Nothing of this ledger is sealed yet: what is five minutes old is, every minute")
    sys.stdout.write(_seals.dump_json(found).decode() + "\n")


def _heads_in(file: Path) -> list[LedgerSeal]:
    """Raises `ConfigurationError` in one line."""
    try:
        return [_seals.validate_json(line) for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise ConfigurationError(f"{file} holds a line that `promptforge ledger head` has not printed") from None


def verify_and_print(*, heads: Path | None = None, data_dir: Path | None) -> int:
    """Verify the ledger; answers the exit code: 0 where every invariant holds, 1 where one is violated.

    `heads`: a file of heads of its seals that were kept. Raises `ConfigurationError` for a database that no process of
    this version has migrated.
    """
    kept = _heads_in(heads) if heads is not None else []

    async def check(mongo: Mongo) -> LedgerReport:
        await refuse_unmigrated(mongo, MIGRATIONS)
        return await verify_ledger(mongo, kept=kept)

    report = _with_database(data_dir, check)
    console = Console()
    console.print(f"{report.journals} journals, {report.legs} legs, {report.accounts} accounts")
    if report.seal is not None:
        console.print(f"sealed are {report.seal.journals} journals, up to checkpoint {report.seal.number}")
    for violation in report.violations:
        console.print(f"[red]violated[/red] {violation.rule}: {violation.detail}")
    console.print("[green]Every invariant holds.[/green]" if report.ok else "[red]The ledger is not right.[/red]")
    return 0 if report.ok else 1
