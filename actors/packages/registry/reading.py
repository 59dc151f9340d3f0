"""The texts of a package, for people and checks that have to judge it: prompts first, then the README and datasets.

Each text is a part of its own. Where there is more than can be looked at, all parts are cut alike: no long one takes
the place of another, and what is missing of each is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import orjson

from promptforge.actors.packages.format import archive, manifest
from promptforge.actors.packages.format.contents import DatasetFile, decode_dataset, decode_prompt, decode_readme
from promptforge.actors.packages.format.manifest import FileKind, Manifest
from promptforge.actors.packages.format.names import MANIFEST
from promptforge.actors.packages.messages import PackagePart
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, ExportedVersion

LONGEST = 1_000_000
"""Characters that a person is shown, and that the automatic checks look at."""
_ORDER = (FileKind.PROMPT, FileKind.README, FileKind.DATASET)


def parts_of(data: bytes) -> list[PackagePart]:
    """Of a file that this service has built itself; whole."""
    members = archive.read(data)
    described = manifest.decode(members[0].data)
    return [part for part in _parts(described, {member.path: member.data for member in members}) if part.text]


def cut(parts: Sequence[PackagePart]) -> tuple[PackagePart, ...]:
    """At most `LONGEST` characters of all together: short parts stay whole, long ones are left alike."""
    given = [0] * len(parts)
    left = LONGEST
    order = sorted(range(len(parts)), key=lambda at: len(parts[at].text))
    for number, at in enumerate(order):
        given[at] = min(len(parts[at].text), left // (len(order) - number))
        left -= given[at]
    return tuple(
        replace(part, text=part.text[:size], left_out=len(part.text) - size)
        for part, size in zip(parts, given, strict=True)
    )


def text_of(parts: Sequence[PackagePart]) -> str:
    """One text, each part under its place."""
    return "\n\n".join(_told(part) for part in cut(parts))


def _told(part: PackagePart) -> str:
    more = f"\n[{part.left_out:,} characters more]" if part.left_out else ""
    return f"--- {part.place}\n{part.text}{more}"


def _parts(described: Manifest, files: dict[str, bytes]) -> Iterator[PackagePart]:
    listed = "\n".join(f"{file.path}  {file.size} bytes  {file.sha256}" for file in described.files)
    yield PackagePart(MANIFEST, f"{described.name} {described.version}: {described.description}\n{listed}")
    for file in sorted(described.files, key=lambda one: _ORDER.index(one.kind)):
        data = files[file.path]
        if file.kind is FileKind.README:
            yield PackagePart(file.path, decode_readme(file.path, data))
        elif file.kind is FileKind.PROMPT:
            yield from _prompt(file.path, decode_prompt(file.path, data))
        else:
            yield PackagePart(file.path, "\n".join(_dataset(decode_dataset(file.path, data))))


def _prompt(path: str, prompt: ExportedPrompt) -> Iterator[PackagePart]:
    """Its newest version first."""
    about = [f"{prompt.name} ({prompt.kind}): {prompt.description or ''}"]
    about += [f"tags: {', '.join(prompt.tags)}"] if prompt.tags else []
    about += [f"folder: {prompt.folder}"] if prompt.folder else []
    yield PackagePart(path, "\n".join(about))
    for version in reversed(prompt.versions):
        place = f"{path}, version {version.version}"
        yield PackagePart(place, _words(version), prompt=path)
        yield PackagePart(f"{place}, besides its text", "\n".join(_besides(version)))


def _words(version: ExportedVersion) -> str:
    content = version.content
    if isinstance(content, str):
        return content
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in content)


def _besides(version: ExportedVersion) -> Iterator[str]:
    if version.message:
        yield version.message
    for variable in version.variables:
        yield "\n".join(f"{name} of a variable: {_json(value)}" for name, value in _given(asdict(variable)).items())
    yield from (f"{name}: {_json(value)}" for name, value in _given(asdict(version.settings)).items())
    yield from (_json(tool) for tool in version.tools)
    if version.response_schema is not None:
        yield _json(version.response_schema)


def _given(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None and value != ()}


def _dataset(dataset: DatasetFile) -> Iterator[str]:
    yield f"{dataset.name}: {dataset.description or ''}"
    if dataset.variables_schema is not None:
        yield _json(dataset.variables_schema)
    yield from (_json(item) for item in dataset.items)


def _json(value: object) -> str:
    """With its line breaks as such: an escape would be a part of the word that follows it."""
    return orjson.dumps(value).decode().replace("\\n", "\n").replace("\\t", "\t")
