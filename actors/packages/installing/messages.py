"""Installing packages: one's own, one that was bought, or a file that somebody brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.packages.format.manifest import SemanticVersion
from promptforge.actors.packages.messages import PackageId
from promptforge.actors.projects.messages import ProjectId
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

UploadId = Annotated[str, Len(1, 64)]


class OnTakenName(StrEnum):
    """Where the project has a prompt of that name: install nothing, or take another name, `Name (2)`."""

    REFUSE = "refuse"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class UploadView:
    """A package that somebody brought, verified: it was signed with `key_id`. It is kept for a day."""

    id: str
    publisher: Annotated[str, Field(examples=["usr_01k8y3w5q2m7t9x4c6v1b8n0ra"])]
    name: Annotated[str, Field(examples=["news-kit"])]
    version: Annotated[str, Field(examples=["1.4.0"])]
    description: Annotated[str, Field(examples=["Summaries of the morning's news."])]
    sha256: Annotated[str, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    key_id: Annotated[str, Field(examples=["pfk_4f1b2b0b822cd15d6c15b0f00a089f86"])]
    size: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InstalledPrompt:
    """A prompt under its name in the package and in the project. `prompt_id` is null where it was only tried."""

    name: Annotated[str, Field(examples=["Digest"])]
    stored_as: Annotated[str, Field(examples=["Digest (2)"])]
    prompt_id: str | None
    versions: int


@dataclass(frozen=True, slots=True)
class InstalledDataset:
    name: Annotated[str, Field(examples=["Monday's articles"])]
    dataset_id: str | None
    items: int


@dataclass(frozen=True, slots=True)
class InstallView:
    """What was installed where, and from which file; or would be, where it was only tried (`id` is null then).

    `conflicts`: names that the project has already; with `refuse` nothing is, or would be, installed because of them.
    """

    id: str | None
    project_id: str | None
    publisher: Annotated[str, Field(examples=["usr_01k8y3w5q2m7t9x4c6v1b8n0ra"])]
    name: Annotated[str, Field(examples=["news-kit"])]
    version: Annotated[str, Field(examples=["1.4.0"])]
    sha256: Annotated[str, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    key_id: Annotated[str, Field(examples=["pfk_4f1b2b0b822cd15d6c15b0f00a089f86"])]
    prompts: tuple[InstalledPrompt, ...]
    datasets: tuple[InstalledDataset, ...]
    conflicts: Annotated[tuple[str, ...], Field(examples=[["Digest"]])]
    created_at: datetime


@requires(scope="packages:write")
class UploadPackage(Command[UploadView]):
    """Bring a package as a file (`application/zip`, at most 16 MiB), to install it within a day.

    It has to be signed with a key of this service, or with one that its operators trust (`PACKAGE_TRUSTED_KEYS`). What
    is none, or none to be trusted, is 422 `package_refused` with a `reason` (docs/package-format.md). Twenty are kept:
    the next one takes the place of one that was installed; where none was, 409 `too_many_uploads`.
    """

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class UploadsView:
    """Your uploads that are kept, newest first."""

    items: tuple[UploadView, ...]


@requires(scope="packages:read")
class ListUploads(Query[UploadsView]):
    """List the packages that you have brought and that can be installed still; there are twenty at most."""


@requires(scope="packages:write")
class DiscardUpload(Command[None]):
    """Remove a package that you have brought before its day is over; what was installed from it stays."""

    upload_id: UploadId


@requires(scope="packages:write")
class TryInstall(Command[InstallView]):
    """Find out what installing would do, and what is in the way: everything is done, and taken back.

    Either an `upload_id`, or `package_id` and `version` of one that is yours or that you bought.
    """

    upload_id: UploadId | None = None
    package_id: PackageId | None = None
    version: SemanticVersion | None = None
    project_id: ProjectId | None = None
    on_conflict: OnTakenName = OnTakenName.REFUSE


@requires(scope="packages:write")
class InstallPackage(Command[InstallView]):
    """Install a package into a project (your personal one where none is named): all of it, or nothing.

    Either an `upload_id`, or `package_id` and `version` of one that is yours or that you bought. 409
    `install_conflicts` names the prompts that the project has already, unless they are to be renamed; 409
    `package_revoked`. Labels are not set: what is installed is served to nobody before you say so.
    """

    upload_id: UploadId | None = None
    package_id: PackageId | None = None
    version: SemanticVersion | None = None
    project_id: ProjectId | None = None
    on_conflict: OnTakenName = OnTakenName.REFUSE


@requires(scope="packages:read")
class GetInstall(Query[InstallView]):
    """Read what an installation of yours has installed, and from where."""

    install_id: Annotated[str, Len(1, 64)]


@requires(scope="packages:read")
class ListInstalls(Query[Page[InstallView]]):
    """List your installations, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None
