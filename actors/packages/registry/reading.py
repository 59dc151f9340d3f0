"""A package as one text, for people who have to judge it: what is in it, its README, its prompts and its datasets."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from promptforge.actors.packages.format import archive, manifest
from promptforge.actors.packages.format.contents import DatasetFile, decode_dataset, decode_prompt, decode_readme
from promptforge.actors.packages.format.manifest import FileKind, Manifest
from promptforge.actors.prompts.exchange.messages import ExportedPrompt

LONGEST = 1_000_000
"""Characters; what is beyond is told to be."""


def text_of(data: bytes) -> str:
    """Of a file that this service has built itself."""
    members = archive.read(data)
    described = manifest.decode(members[0].data)
    text = "\n".join(_parts(described, {member.path: member.data for member in members}))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[{len(text) - LONGEST:,} characters more]"


def _parts(described: Manifest, files: dict[str, bytes]) -> Iterator[str]:
    yield f"{described.name} {described.version}: {described.description}"
    yield "\n".join(f"{file.path}  {file.size} bytes  {file.sha256}" for file in described.files)
    for file in described.files:
        data = files[file.path]
        yield f"\n--- {file.path}"
        if file.kind is FileKind.README:
            yield decode_readme(file.path, data)
        elif file.kind is FileKind.PROMPT:
            yield from _prompt(decode_prompt(file.path, data))
        else:
            yield from _dataset(decode_dataset(file.path, data))


def _prompt(prompt: ExportedPrompt) -> Iterator[str]:
    yield f"{prompt.name} ({prompt.kind}): {prompt.description or ''}"
    for version in prompt.versions:
        yield f"version {version.version}"
        content: object = version.content
        if isinstance(content, str):
            yield content
        else:
            yield from (
                f"[{message.role}]\n{message.content}" for message in version.content if not isinstance(message, str)
            )
        if version.tools or version.response_schema is not None:
            yield orjson.dumps([version.tools, version.response_schema]).decode()


def _dataset(dataset: DatasetFile) -> Iterator[str]:
    yield f"{dataset.name}: {dataset.description or ''}"
    yield from (orjson.dumps(item).decode() for item in dataset.items)
