"""How versions follow each other, and what the file of one is made of; without a database."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from semver import Version

from promptforge.actors.packages.errors import PackageLimitReached, PackageRefused, PackageTooLarge, VersionNotGreater
from promptforge.actors.packages.format.archive import MAX_PACKAGE_BYTES
from promptforge.actors.packages.format.contents import MAX_ITEMS, DatasetFile, encode
from promptforge.actors.packages.format.manifest import (
    MAX_FILES,
    MAX_MEMBER_BYTES,
    SCHEMA_VERSION,
    FileKind,
    Manifest,
    PackagedDataset,
    PackagedPrompt,
    PackagedVersion,
)
from promptforge.actors.packages.format.names import line_of, parse_version
from promptforge.actors.packages.format.package import build, listed
from promptforge.actors.packages.format.signing import SigningKeys
from promptforge.actors.prompts.packing.messages import PackedPrompt

README = "README.md"
MOST_PACKAGES = 200
MOST_DRAFTS = 100
MOST_VERSIONS = 1_000
"""Each of one publisher. How many bytes is the operator's to say: a version that is being built counts with the most
that it can have."""
_LONGEST_SLUG = 40


def check_order(wanted: str, taken: Iterable[str]) -> None:
    """Raises `VersionNotGreater` where a version of the same line, `1.4`, is not smaller, whatever became of it."""
    version = parse_version(wanted)
    line = [one for one in map(parse_version, taken) if line_of(one) == line_of(version)]
    highest = max(line, default=None)
    if highest is not None and highest >= version:
        raise VersionNotGreater(
            f"{highest} was published already: a version of the line {line_of(version)} has to be greater",
            extra={"highest": str(highest)},
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of a publisher's; `size`: of published files, in bytes."""

    packages: int
    drafts: int
    building: int
    published: int
    size: int

    def check_package(self) -> None:
        """Raises `PackageLimitReached`, as the others do, where there is no room for one more."""
        _check_room("packages", self.packages + 1, MOST_PACKAGES)

    def check_draft(self) -> None:
        _check_room("drafts of versions", self.drafts + 1, MOST_DRAFTS)

    def check_version(self, most_bytes: int) -> None:
        _check_room("published versions", self.published + self.building + 1, MOST_VERSIONS)
        _check_room("published bytes", self.size + (self.building + 1) * MAX_PACKAGE_BYTES, most_bytes)


def _check_room(what: str, wanted: int, most: int) -> None:
    if wanted > most:
        raise PackageLimitReached(f"A publisher has at most {most:,} {what}", extra={"limit": most})


def latest_of(versions: Iterable[str]) -> str | None:
    """The greatest release; only where there is none, the greatest pre-release."""
    parsed = [parse_version(one) for one in versions]
    best: Version | None = max(parsed, key=lambda one: (one.prerelease is None, one), default=None)
    return None if best is None else str(best)


@dataclass(frozen=True, slots=True)
class Title:
    """Whose package it is, and what it is called."""

    publisher: str
    name: str
    version: str
    description: str
    readme: str | None


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """A revision of a dataset, read whole."""

    dataset_id: str
    revision: int
    file: DatasetFile


def build_file(
    title: Title, prompts: Sequence[PackedPrompt], datasets: Sequence[PackedDataset], keys: SigningKeys
) -> tuple[Manifest, bytes]:
    """The manifest and the file: the same for the same contents. Raises `PackageTooLarge`."""
    files: dict[str, tuple[FileKind, bytes]] = {}
    if title.readme is not None:
        files[README] = (FileKind.README, title.readme.encode())
    told_prompts = []
    for number, packed in enumerate(prompts, 1):
        told = _told_prompt(packed, f"prompts/{number:03d}-{slug(packed.prompt.name)}.json")
        files[told.path] = (FileKind.PROMPT, encode(packed.prompt))
        told_prompts.append(told)
    told_datasets = []
    for number, dataset in enumerate(sorted(datasets, key=lambda one: (one.file.name, one.dataset_id)), 1):
        entry = PackagedDataset(
            path=f"datasets/{number:03d}-{slug(dataset.file.name)}.json",
            name=dataset.file.name,
            dataset_id=dataset.dataset_id,
            revision=dataset.revision,
            items=len(dataset.file.items),
        )
        files[entry.path] = (FileKind.DATASET, encode(dataset.file))
        told_datasets.append(entry)
    _check_sizes(files, told_datasets)
    described = Manifest(
        schema_version=SCHEMA_VERSION,
        publisher=title.publisher,
        name=title.name,
        version=title.version,
        description=title.description,
        prompts=tuple(told_prompts),
        datasets=tuple(told_datasets),
        files=listed(files),
    )
    try:
        return described, build(described, {path: data for path, (_, data) in files.items()}, keys)
    except PackageRefused as refused:
        raise PackageTooLarge(refused.detail) from None


def slug(name: str) -> str:
    """What stands for a name in a path: letters, digits and hyphens of ASCII."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-") or "unnamed"


def _told_prompt(packed: PackedPrompt, path: str) -> PackagedPrompt:
    prompt = packed.prompt
    hashes = zip(prompt.versions, packed.content_hashes, strict=True)
    return PackagedPrompt(
        path=path,
        name=prompt.name,
        kind=prompt.kind,
        prompt_id=packed.prompt_id,
        included=packed.included,
        versions=tuple(PackagedVersion(version.version, content_hash) for version, content_hash in hashes),
    )


def _check_sizes(files: Mapping[str, tuple[FileKind, bytes]], datasets: Sequence[PackagedDataset]) -> None:
    for path, (_, data) in files.items():
        if len(data) > MAX_MEMBER_BYTES:
            raise PackageTooLarge(
                f"{path} has {len(data):,} bytes: a file of a package has at most {MAX_MEMBER_BYTES:,}"
            )
    if sum(one.items for one in datasets) > MAX_ITEMS:
        raise PackageTooLarge(f"The datasets of a package have at most {MAX_ITEMS:,} items together")
    if len(files) > MAX_FILES or sum(len(data) for _, data in files.values()) > MAX_PACKAGE_BYTES:
        raise PackageTooLarge(f"A package has at most {MAX_FILES} files and {MAX_PACKAGE_BYTES:,} bytes")
