"""Asking for everything that is held of oneself, and getting it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.core.downloads import Download
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires


class PersonalExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    EXPIRED = "expired"
    """Its file is removed: ask for another one."""
    FAILED = "failed"
    """It was tried again and again, and given up: ask for another one."""


@dataclass(frozen=True, slots=True)
class PersonalExportView:
    """`size` in bytes; `sha256` of the file in hexadecimal. The file is there from `finished_at` to `expires_at`."""

    state: PersonalExportState
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    size: int | None
    sha256: Annotated[str | None, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]


@requires(fresh=True, while_suspended=True)
class RequestPersonalExport(Command[PersonalExportView]):
    """Ask for everything that is held of you, as one zip of JSON files with a page that says what each of them is.

    A job writes it, and you are told when it is there. One at a time: while one is being written it is the answer, and
    a new one takes the place of the last one.
    """


@requires()
class GetPersonalExport(Query[PersonalExportView]):
    """Read how far your export is. 404 where you have not asked for one."""


@requires(fresh=True)
class DownloadPersonalExport(Query[Download]):
    """Get the file of your export, whole or by range.

    409 `export_not_ready` before it is finished, 410 `export_expired` a week after.
    """


@internal
@job(timeout_seconds=3600, max_attempts=5)
class WritePersonalExport(Command[None]):
    """Write the file. Who was taken for dead meanwhile writes nothing more into the export."""

    user_id: Annotated[str, Len(1, 64)]


@internal
@job(timeout_seconds=600)
class SweepPersonalExports(Command[int]):
    """Remove the files of exports that have expired or were given up, and those that nobody's export names; answers
    how many.
    """


@internal
class ForgetPersonalExport(Command[None]):
    """The account is erased: nobody writes an export of it any more, and what was written of it is gone."""

    user_id: str
