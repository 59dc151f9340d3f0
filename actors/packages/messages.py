"""Packages: a name of a publisher's, and versions of it that never change once they are published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Len
from pydantic import MISSING, Field

from promptforge.actors.datasets.messages import DatasetId
from promptforge.actors.packages.format.manifest import (
    MAX_DATASETS,
    MAX_PROMPTS,
    PackageName,
    SemanticVersion,
    Sha256,
)
from promptforge.actors.prompts.messages import PromptId, PromptVersionView, VersionNumber
from promptforge.core.downloads import Download
from promptforge.core.jobs.policy import job
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import LINE, TEXT

QUEUE = "packages"
"""Of building: few at once, for the largest take much memory, and publishers take turns."""
PackageId = Annotated[str, Len(1, 64)]
PackageVersion = SemanticVersion
Description = Annotated[str, Len(1, 2000), TEXT, Field(examples=["Summaries of the morning's news."])]
Readme = Annotated[str, Len(1, 65_536), TEXT, Field(examples=["# News kit\n\nRender `Digest` with an article."])]
Reason = Annotated[str, Len(3, 500), LINE, Field(examples=["It sends what it is given to a stranger"])]


class VersionState(StrEnum):
    DRAFT = "draft"
    BUILDING = "building"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class ChosenPrompt:
    """A version of a prompt that goes into a package; what it includes comes along."""

    prompt_id: PromptId
    version: VersionNumber


@dataclass(frozen=True, slots=True)
class PackageView:
    """`latest`: the greatest version that is published, not yanked and not revoked, releases first."""

    id: str
    publisher_id: str
    name: Annotated[str, Field(examples=["news-kit"])]
    latest: Annotated[str | None, Field(examples=["1.4.0"])]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """Why the last attempt at publishing came to nothing."""

    code: Annotated[str, Field(examples=["unpinned_include"])]
    detail: Annotated[str, Field(examples=["What is packaged must not change: include versions, not labels"])]


@dataclass(frozen=True, slots=True)
class Mark:
    """That a version was yanked or revoked: when, and why."""

    at: datetime
    reason: Annotated[str, Field(examples=["It sends what it is given to a stranger"])]


@dataclass(frozen=True, slots=True)
class PackageVersionView:
    """A version of a package. `size`, `sha256` and `key_id` are those of its file, once it is published."""

    package_id: str
    publisher_id: str
    name: Annotated[str, Field(examples=["news-kit"])]
    version: Annotated[str, Field(examples=["1.4.0"])]
    state: VersionState
    description: str | None
    readme: Annotated[str | None, Field(examples=["# News kit"])]
    prompts: tuple[ChosenPrompt, ...]
    dataset_ids: Annotated[tuple[str, ...], Field(examples=[["dts_01k8y3w5q2m7t9x4c6v1b8n0ra"]])]
    failure: BuildFailure | None
    job_id: str | None
    size: int | None
    sha256: Annotated[str | None, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    key_id: Annotated[str | None, Field(examples=["pfk_4f1b2b0b822cd15d6c15b0f00a089f86"])]
    yanked: Mark | None
    revoked: Mark | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class SigningKeyView:
    """A key that packages of this service are signed with: 32 bytes in base64. New ones are signed with `current`."""

    key_id: Annotated[str, Field(examples=["pfk_4f1b2b0b822cd15d6c15b0f00a089f86"])]
    algorithm: Annotated[str, Field(examples=["Ed25519"])]
    public_key: Annotated[str, Field(examples=["11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="])]
    current: bool


@dataclass(frozen=True, slots=True)
class SigningKeysView:
    keys: tuple[SigningKeyView, ...]


# Publishing


@requires(scope="packages:write")
class CreatePackage(Command[PackageView]):
    """Take a name for a package of yours. You have one of each name, and of names that look alike.

    409 `package_name_taken`, `package_limit_reached`. The name stays: it is in what you publish.
    """

    name: PackageName


@requires(scope="packages:read")
class GetPackage(Query[PackageView]):
    """Read a package of yours."""

    package_id: PackageId


@requires(scope="packages:read")
class ListPackages(Query[Page[PackageView]]):
    """List your packages, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


_Prompts = Annotated[tuple[ChosenPrompt, ...], Len(0, MAX_PROMPTS)]
_Datasets = Annotated[tuple[DatasetId, ...], Len(0, MAX_DATASETS), Field(examples=[["dts_01k8y3w5q2m7t9x4c6v1b8n0ra"]])]


@requires(scope="packages:write")
class DraftPackageVersion(Command[PackageVersionView]):
    """Draft a version of a package: versions of prompts, with what they include, datasets, and a README in Markdown.

    A version is one by semver.org, without build metadata. 409 `version_taken`: numbers are used once;
    `package_limit_reached`.
    """

    package_id: PackageId
    version: SemanticVersion
    description: Description | None = None
    readme: Readme | None = None
    prompts: _Prompts = ()
    dataset_ids: _Datasets = ()


@requires(scope="packages:write")
class EditPackageVersion(Command[PackageVersionView]):
    """Change a draft: only the fields that are sent change, null clears one. 409 `not_a_draft` once it is published."""

    package_id: PackageId
    version: SemanticVersion
    description: Description | MISSING | None = MISSING
    readme: Readme | MISSING | None = MISSING
    prompts: _Prompts | MISSING = MISSING
    dataset_ids: _Datasets | MISSING = MISSING


@requires(scope="packages:write")
class DiscardPackageVersion(Command[None]):
    """Discard a draft. What was published stays."""

    package_id: PackageId
    version: SemanticVersion


@requires(scope="packages:read")
class GetPackageVersion(Query[PackageVersionView]):
    """Read a version of a package of yours."""

    package_id: PackageId
    version: SemanticVersion


@requires(scope="packages:read")
class ListPackageVersions(Query[Page[PackageVersionView]]):
    """List the versions of a package of yours, newest first."""

    package_id: PackageId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="packages:write")
class PublishPackageVersion(Command[PackageVersionView]):
    """Publish a draft for good: a job builds and signs its file. Datasets are taken as they are now.

    You need to own the projects that its prompts and datasets are in. It has to be greater than every version that was
    published in its line, 1.4.0, 1.4.1 and so on (409 `version_not_greater`). 409 `not_a_draft`, `nothing_to_package`,
    `unpinned_include`, `names_collide`, `too_much_to_pack`, `package_limit_reached`.
    """

    package_id: PackageId
    version: SemanticVersion


@requires(scope="packages:write")
class YankPackageVersion(Command[PackageVersionView]):
    """Take a published version out of use: nothing new is to begin with it. Who has it keeps it and can download it."""

    package_id: PackageId
    version: SemanticVersion
    reason: Reason


@requires(scope="packages:write")
class UnyankPackageVersion(Command[PackageVersionView]):
    """Take a yank back."""

    package_id: PackageId
    version: SemanticVersion


@requires(Role.MODERATOR, Role.OPERATOR, scope="packages:revoke")
class RevokePackageVersion(Command[PackageVersionView]):
    """Revoke a published version because it does harm: it cannot be installed any more, nor downloaded by buyers.

    For good; its publisher and its buyers are told why.
    """

    package_id: PackageId
    version: SemanticVersion
    reason: Reason


@dataclass(frozen=True, slots=True)
class RevokedFileView:
    """A file that is installed nowhere any more."""

    sha256: Sha256
    revoked: Mark


@requires(Role.MODERATOR, Role.OPERATOR, scope="packages:revoke")
class RevokeFile(Command[RevokedFileView]):
    """Revoke a file because it does harm, by its SHA-256, also where its publisher's account is gone.

    For good. Where it is the file of a version that is known here, that version is revoked.
    """

    sha256: Sha256
    reason: Reason


@requires(scope="packages:read", while_suspended=True)
class DownloadPackage(Command[Download]):
    """Get the file of a published version, of yours or of one that you bought, whole or by range.

    A purchase counts as used from the first byte on; a 304 or a 416 has none. 409 `not_published`, `package_revoked`.
    """

    package_id: PackageId
    version: SemanticVersion


@public
class ListSigningKeys(Query[SigningKeysView]):
    """List the public keys that packages of this service are signed with. Keep the answer: it is whom to trust."""


@public
class GetManifestSchema(Query[dict[str, Any]]):  # Any: JSON
    """Read the JSON Schema of package manifests (docs/package-format.md)."""


# Jobs, and for other features


@internal
@job(queue=QUEUE, max_attempts=8, timeout_seconds=120)
class BuildPackage(Command[None]):
    """Build, sign and keep a version's file; the version is published in the commit that completes this."""

    package_id: str
    version: str


@internal
@job(timeout_seconds=600)
class SweepPackages(Command[int]):
    """Make drafts of versions whose job is gone; remove what builds of drafts left, and uploads whose time is over.

    Answers how many.
    """


@internal
@job(max_attempts=20)
class RemovePackageFiles(Command[None]):
    """Remove what builds of a draft left that is discarded."""

    file_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PinnedPackage:
    """What a listing needs to know of the version that it sells. `number`: the how-manieth of its package's."""

    package_id: str
    name: str
    version: str
    number: int
    sha256: str


@internal
class PinPackageVersion(Query[PinnedPackage]):
    """A published version that its publisher may sell now.

    Raises `NotFound`, also for somebody else's, `NotPublished`, `PackageYanked` or `PackageRevoked`.
    """

    package_id: str
    version: str
    publisher_id: str


@internal
class ReadPackageText(Query[PromptVersionView]):
    """All that can be read of a published version, by its number, as one text, whoever asks."""

    package_id: str
    number: int


@dataclass(frozen=True, slots=True)
class PackagePart:
    """A text of a package, and where it stands. `prompt`: the file of the prompt whose words it is.

    `left_out` is the number of characters that are missing of it.
    """

    place: str
    text: str
    prompt: str | None = None
    left_out: int = 0


@internal
class ReadPackageParts(Query[tuple[PackagePart, ...]]):
    """The texts of a published version, by its number, each by itself, for checks; very long ones are cut alike."""

    package_id: str
    number: int


@internal
class ExpectUnrevoked(Query[None]):
    """Raises `PackageRevoked` where a version was, or its file by its hash."""

    package_id: str
    version: str


@internal
class MarkRevokedFile(Command[None]):
    """Revoke the version whose file was revoked by its hash while it was being published, if there is one."""

    sha256: Sha256


@internal
@job(timeout_seconds=300)
class TellOfRevocation(Command[None]):
    """Tell those who bought a version that it was revoked, a hundred at a time."""

    package_id: str
    version: str
    after: str = ""
