"""A package: made of contents and signed, or read from a file and trusted or refused.

`build` answers the same bytes for the same contents, on any day and machine. What `verify` takes is, byte for byte,
what was built by the holder of a trusted key; contents that are signed and yet wrong are refused by `contents_of`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format import archive, manifest
from promptforge.actors.packages.format.archive import Member
from promptforge.actors.packages.format.contents import (
    MAX_ITEMS,
    Contents,
    decode_dataset,
    decode_prompt,
    decode_readme,
)
from promptforge.actors.packages.format.manifest import FileKind, Manifest, PackagedFile
from promptforge.actors.packages.format.names import MANIFEST, SIGNATURE
from promptforge.actors.packages.format.signing import SigningKeys, TrustedKeys, signed_with


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was verified; `sha256` is of the whole file."""

    manifest: Manifest
    files: Mapping[str, bytes]
    key_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """What was written down of a file when it was published, in the transaction that published it."""

    sha256: str
    key_id: str


def listed(files: Mapping[str, tuple[FileKind, bytes]]) -> tuple[PackagedFile, ...]:
    """The files as a manifest lists them."""
    return tuple(
        PackagedFile(path, kind, len(data), hashlib.sha256(data).hexdigest())
        for path, (kind, data) in sorted(files.items())
    )


def build(described: Manifest, files: Mapping[str, bytes], keys: SigningKeys) -> bytes:
    """The file of a manifest that lists exactly these files. Raises `PackageRefused`: it may be too large."""
    written = manifest.encode(described)
    members = [Member(MANIFEST, written), Member(SIGNATURE, keys.sign(written))]
    members += [Member(file.path, files[file.path]) for file in described.files]
    made = archive.write(members)
    archive.read(made)
    manifest.decode(written)
    return made


def verify(data: bytes, trusted: TrustedKeys) -> Package:
    """Raises `PackageRefused` with a reason."""
    members = _members(data)
    described = manifest.decode(members[0].data)
    key_id = trusted.verify(members[0].data, members[1].data)
    return _package(data, described, members, key_id)


def verify_recorded(data: bytes, trusted: TrustedKeys, record: Record) -> Package:
    """A file that this service has published itself, held against what it wrote down then.

    Its key may have left the trusted ones since, which takes nothing from who bought the file; while it is among them
    the signature counts as well. Raises `PackageRefused`.
    """
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise PackageRefused("tampered_file", "The file is not the one that was published")
    members = _members(data)
    described = manifest.decode(members[0].data)
    told = signed_with(members[1].data)
    key_id = trusted.verify(members[0].data, members[1].data) if told in trusted else told
    if key_id != record.key_id:
        raise PackageRefused("bad_signature", "It is not signed with the key that it was published with")
    return _package(data, described, members, key_id)


def _members(data: bytes) -> tuple[Member, ...]:
    members = archive.read(data)
    if [member.path for member in members[:2]] != [MANIFEST, SIGNATURE]:
        raise PackageRefused("not_a_package", f"It does not begin with {MANIFEST} and {SIGNATURE}")
    return members


def _package(data: bytes, described: Manifest, members: Sequence[Member], key_id: str) -> Package:
    _check_files(described, members[2:])
    files = {member.path: member.data for member in members[2:]}
    return Package(described, files, key_id, hashlib.sha256(data).hexdigest())


def contents_of(package: Package) -> Contents:
    """What the files say, held against the manifest. Raises `PackageRefused`."""
    files, described = package.files, package.manifest
    prompts = tuple(decode_prompt(one.path, files[one.path]) for one in described.prompts)
    for prompt, told in zip(prompts, described.prompts, strict=True):
        numbers = [version.version for version in prompt.versions]
        if (prompt.name, prompt.kind, numbers) != (told.name, told.kind, [one.version for one in told.versions]):
            raise PackageRefused("bad_content", f"{told.path!r} is not the prompt that the manifest tells of")
        if prompt.labels:
            raise PackageRefused("bad_content", f"{told.path!r} has labels, which no package has")
    datasets = tuple(decode_dataset(one.path, files[one.path]) for one in described.datasets)
    for dataset, entry in zip(datasets, described.datasets, strict=True):
        if (dataset.name, len(dataset.items)) != (entry.name, entry.items):
            raise PackageRefused("bad_content", f"{entry.path!r} is not the dataset that the manifest tells of")
    if sum(len(dataset.items) for dataset in datasets) > MAX_ITEMS:
        raise PackageRefused("bad_content", f"The datasets have more than {MAX_ITEMS:,} items together")
    readme = [decode_readme(file.path, files[file.path]) for file in described.files if file.kind is FileKind.README]
    return Contents(readme[0] if readme else None, prompts, datasets)


def _check_files(described: Manifest, members: Sequence[Member]) -> None:
    """That there are exactly the files of the manifest, in its order, each with its size and SHA-256."""
    present = {member.path for member in members}
    wanted = {file.path for file in described.files}
    if extra := sorted(present - wanted):
        raise PackageRefused("unlisted_file", f"{extra[0]!r} is not in the manifest")
    if missing := sorted(wanted - present):
        raise PackageRefused("missing_file", f"{missing[0]!r} is in the manifest, and not in the file")
    for file, member in zip(described.files, members, strict=True):
        if file.path != member.path:
            raise PackageRefused("not_canonical", "The files are not in the manifest's order")
        if file.size != len(member.data) or file.sha256 != hashlib.sha256(member.data).hexdigest():
            raise PackageRefused("tampered_file", f"{file.path!r} is not what was signed")
