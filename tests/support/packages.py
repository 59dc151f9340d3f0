"""Packages for tests: one that is good, zip files that are not, and keys."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace

from promptforge.actors.datasets.messages import NewItem
from promptforge.actors.packages.format.contents import DatasetFile, encode
from promptforge.actors.packages.format.manifest import (
    FileKind,
    Manifest,
    PackagedDataset,
    PackagedPrompt,
    PackagedVersion,
)
from promptforge.actors.packages.format.package import build, listed
from promptforge.actors.packages.format.signing import SigningKeys, TrustedKeys
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, ExportedVersion
from promptforge.actors.prompts.messages import PromptKind, Variable

SECRET = "a secret that is for tests only"
KEYS = SigningKeys([SECRET])
TRUSTED = TrustedKeys(KEYS.public)
HASH = "ab" * 32
README, PROMPT, DATASET = "README.md", "prompts/001-greeting.json", "datasets/001-people.json"


def files() -> dict[str, tuple[FileKind, bytes]]:
    prompt = ExportedPrompt(
        name="Greeting",
        kind=PromptKind.TEXT,
        tags=("warm",),
        versions=(ExportedVersion(version=3, content="Hello {{name}} ☀", variables=(Variable("name"),)),),
    )
    dataset = DatasetFile("People", None, {"type": "object"}, (NewItem({"name": "Ada"}, "Hello Ada ☀"),))
    return {
        README: (FileKind.README, b"# Greetings\n"),
        PROMPT: (FileKind.PROMPT, encode(prompt)),
        DATASET: (FileKind.DATASET, encode(dataset)),
    }


def manifest(held: Mapping[str, tuple[FileKind, bytes]]) -> Manifest:
    return Manifest(
        schema_version=1,
        publisher="usr_ada",
        name="greetings",
        version="1.0.0",
        description="Says hello.",
        prompts=(PackagedPrompt(PROMPT, "Greeting", PromptKind.TEXT, "prm_1", False, (PackagedVersion(3, HASH),)),),
        datasets=(PackagedDataset(DATASET, "People", "dts_1", 1, 1),),
        files=listed(held),
    )


def package(*, keys: SigningKeys = KEYS, **changes: object) -> bytes:
    """A good package; `changes` are other values of its manifest."""
    held = files()
    described = replace(manifest(held), **changes)  # type: ignore[arg-type]  # fields of any type
    return build(described, {path: data for path, (_, data) in held.items()}, keys)


def zip_of(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """What another tool makes of such members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path), data, compression)
    return made.getvalue()
