"""The manifest of a package: who published what under which name and version, and the SHA-256 of each file.

Its bytes are canonical: the same manifest is always the same bytes, and other bytes are refused. So one signature of
them vouches for everything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import orjson
from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format.names import (
    LONGEST_PATH,
    NAME_PATTERN,
    PATH_PATTERN,
    PUBLISHER_PATTERN,
    parse_version,
    shown,
)
from promptforge.actors.prompts.messages import PromptKind, VersionNumber

SCHEMA_VERSION: Literal[1] = 1
SCHEMA_ID = "/api/v1/packaging/schema"
MAX_MANIFEST_BYTES = 512 * 1024
MAX_FILES = 200
MAX_MEMBER_BYTES = 8 * 1024 * 1024
MAX_PROMPTS = 100
MAX_VERSIONS = 500
"""Of all prompts of a package together."""
MAX_DATASETS = 20


def _semantic(text: str) -> str:
    parse_version(text)
    return text


PackageName = Annotated[
    str,
    Field(
        min_length=2,
        max_length=64,
        pattern=NAME_PATTERN,
        examples=["news-kit"],
        description="Lower-case letters, digits and single hyphens, beginning with a letter",
    ),
]
SemanticVersion = Annotated[
    str,
    Field(min_length=5, max_length=64, examples=["1.4.0"], description="A version by semver.org, without metadata"),
    AfterValidator(_semantic),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])]
FilePath = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH, pattern=PATH_PATTERN)]
_STRICT = ConfigDict(extra="forbid", strict=True)


class FileKind(StrEnum):
    README = "readme"
    PROMPT = "prompt"
    DATASET = "dataset"


@validated(frozen=True, slots=True, config=_STRICT)
class PackagedFile:
    """A file of the package, by its path; `size` in bytes."""

    path: FilePath
    kind: FileKind
    size: Annotated[int, Ge(0), Le(MAX_MEMBER_BYTES)]
    sha256: Sha256


@validated(frozen=True, slots=True, config=_STRICT)
class PackagedVersion:
    """A version of a prompt; `content_hash` is the one that its registry knows it by."""

    version: VersionNumber
    content_hash: Sha256


@validated(frozen=True, slots=True, config=_STRICT)
class PackagedPrompt:
    """A prompt in a file of its own. `included`: it is there only because others include it."""

    path: FilePath
    name: Annotated[str, Len(1, 120)]
    kind: PromptKind
    prompt_id: Annotated[str, Len(1, 64)]
    included: bool
    versions: Annotated[tuple[PackagedVersion, ...], Len(1, MAX_VERSIONS)]


@validated(frozen=True, slots=True, config=_STRICT)
class PackagedDataset:
    """A dataset, as it was in one revision, in a file of its own."""

    path: FilePath
    name: Annotated[str, Len(1, 120)]
    dataset_id: Annotated[str, Len(1, 64)]
    revision: Annotated[int, Ge(1)]
    items: Annotated[int, Ge(0)]


@validated(frozen=True, slots=True, config=_STRICT)
class Manifest:
    """The manifest of a PromptForge package. `publisher` is the id of who published it, where it was signed."""

    schema_version: Literal[1]
    publisher: Annotated[str, Field(min_length=1, max_length=64, pattern=PUBLISHER_PATTERN)]
    name: PackageName
    version: SemanticVersion
    description: Annotated[str, Len(0, 2000)]
    prompts: Annotated[tuple[PackagedPrompt, ...], Len(0, MAX_PROMPTS)]
    datasets: Annotated[tuple[PackagedDataset, ...], Len(0, MAX_DATASETS)]
    files: Annotated[tuple[PackagedFile, ...], Len(1, MAX_FILES)]


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def json_schema() -> dict[str, Any]:  # Any: JSON
    """The published JSON Schema of manifests."""
    made = _MANIFEST.json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **made}


def canonical(value: object) -> bytes:
    """Canonical JSON: keys sorted, no white space, UTF-8. It holds no fractions, so there is one way to write it."""
    plain = orjson.loads(orjson.dumps(value))  # the fields of a dataclass would stay in the order of their declaration
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def encode(manifest: Manifest) -> bytes:
    return canonical(manifest)


def decode(data: bytes) -> Manifest:
    """Raises `PackageRefused`, also where these are not the canonical bytes."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise PackageRefused("bad_manifest", f"The manifest has more than {MAX_MANIFEST_BYTES:,} bytes")
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise PackageRefused("bad_manifest", "The manifest is not JSON") from None
    known = tree.get("schema_version") if isinstance(tree, dict) else None
    if known is not None and (type(known) is not int or known != SCHEMA_VERSION):
        told = repr(known)[:20]
        raise PackageRefused(
            "unknown_schema_version", f"The manifest's schema has version {told}; known here is {SCHEMA_VERSION}"
        )
    try:
        manifest = _MANIFEST.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where, what = shown("/".join(str(part) for part in first["loc"])[:120]), shown(first["msg"][:200])
        raise PackageRefused("bad_manifest", f"The manifest is not as it should be: {where}: {what}") from None
    if encode(manifest) != data:
        raise PackageRefused("bad_manifest", "The manifest is not written canonically")
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    """That its parts fit together."""
    kinds = {file.path: file.kind for file in manifest.files}
    paths = [file.path for file in manifest.files]
    if paths != sorted(paths) or len({path.lower() for path in paths}) < len(paths):
        raise PackageRefused("bad_manifest", "The manifest's files are not in order, or one is there twice")
    told = [(one.path, FileKind.PROMPT) for one in manifest.prompts]
    told += [(one.path, FileKind.DATASET) for one in manifest.datasets]
    wanted = {path: kind for path, kind in kinds.items() if kind is not FileKind.README}
    if len(told) != len(wanted) or dict(told) != wanted:
        raise PackageRefused("bad_manifest", "The manifest's prompts and datasets are not those of its files")
    if list(kinds.values()).count(FileKind.README) > 1:
        raise PackageRefused("bad_manifest", "The manifest has more than one README")
    if len({one.name for one in manifest.prompts}) < len(manifest.prompts):
        raise PackageRefused("bad_manifest", "Two prompts of the package have one name")
    if sum(len(one.versions) for one in manifest.prompts) > MAX_VERSIONS:
        raise PackageRefused("bad_manifest", f"The package has more than {MAX_VERSIONS} versions of prompts")
