"""`promptforge package verify`: whether a file is what somebody whose key you trust has published. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format.archive import MAX_PACKAGE_BYTES
from promptforge.actors.packages.format.names import shown
from promptforge.actors.packages.format.package import Package, contents_of, verify
from promptforge.actors.packages.format.signing import PublicKey, TrustedKeys, keys_from, public_key
from promptforge.core.errors import ConfigurationError

VERIFIED = 0
REFUSED = 1


def verify_and_print(file: Path, *, trust: Path | None, keys: Sequence[str], expected: str | None) -> int:
    """Verify one file; answers the exit code. `expected`: PUBLISHER/NAME@VERSION, of which parts may be empty, not all.

    Whatever the file says is shown without what could move a terminal's cursor. Raises `ConfigurationError` where there
    is no key to trust, nothing that is expected, or something cannot be read.
    """
    wanted = _parts(expected)
    trusted = _trusted(trust, keys)
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_PACKAGE_BYTES + 1)
        package = verify(data, trusted)
        contents_of(package)
        _check_expected(package, wanted)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except PackageRefused as error:
        _echo(f"refused ({error.reason}): {' '.join(error.detail.split())}", err=True)
        return REFUSED
    made = package.manifest
    _echo(f"verified: {made.name} {made.version}, published by {made.publisher}")
    _echo(f"  signed with {package.key_id}, SHA-256 {package.sha256}")
    for listed in made.files:
        _echo(f"  {listed.path}  {listed.size} bytes")
    return VERIFIED


def _trusted(trust: Path | None, keys: Sequence[str]) -> TrustedKeys:
    try:
        pinned: list[PublicKey] = [public_key(key) for key in keys]
        if trust is not None:
            pinned += keys_from(trust.read_bytes())
        trusted = TrustedKeys(pinned)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the trusted keys cannot be used: {error}") from None
    if not len(trusted):
        raise ConfigurationError("say whom you trust: --trust FILE (what GET /packaging/keys answered) or --key BASE64")
    return trusted


def _parts(expected: str | None) -> tuple[tuple[str, str], ...]:
    """Which field has to be what. Raises `ConfigurationError` where that is nothing: anything would pass."""
    if expected is None:
        return ()
    publisher, slash, rest = expected.rpartition("/")
    name, _, version = (rest if slash else expected).partition("@")
    wanted = tuple(part for part in (("publisher", publisher), ("name", name), ("version", version)) if part[1])
    if not wanted:
        raise ConfigurationError("--expect names nothing: say PUBLISHER/NAME@VERSION, or a part of that")
    return wanted


def _check_expected(package: Package, wanted: tuple[tuple[str, str], ...]) -> None:
    for field, value in wanted:
        found = getattr(package.manifest, field)
        if found != value:
            raise PackageRefused("not_expected", f"Its {field} is {found}, not {value}")


def _echo(line: str, *, err: bool = False) -> None:
    typer.echo(shown(line), err=err)
