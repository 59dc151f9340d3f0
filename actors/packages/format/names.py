"""What packages, their versions and the files in them may be called."""

from __future__ import annotations

import re

from semver import Version

from promptforge.core.alike import skeleton

LONGEST_PATH = 120
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
NAME_PATTERN = r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$"
PUBLISHER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
PATH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]*(?:/[A-Za-z0-9][A-Za-z0-9._@-]*)*$"
_PATH = re.compile(PATH_PATTERN)
_DRIVE = re.compile(r"^[A-Za-z]:")
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))})
MOST_DIGITS = 9


def name_key(name: str) -> str:
    """The same for names that look alike: a publisher has one package of each."""
    return skeleton(name.replace("-", ""))


def shown(text: str) -> str:
    """Words of a file that nobody vouches for, as a terminal may have them: what moves its cursor is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def path_fault(path: str) -> str | None:
    """Why a file in a package may not be called that, as a sentence; it could be written somewhere else by it."""
    parts = path.split("/")
    faults = (
        (len(path) > LONGEST_PATH, f"has more than {LONGEST_PATH} characters"),
        (not path.isascii() or not path.isprintable(), "has other characters than plain ASCII"),
        ("\\" in path, "has a backslash"),
        (path.startswith("/") or _DRIVE.match(path) is not None, "is absolute"),
        (".." in parts or "." in parts, "leads out of its folder"),
        (path.endswith("/"), "is a folder"),
        (
            not _PATH.fullmatch(path) or any(part.endswith(".") for part in parts),
            "has characters that file systems read differently",
        ),
        (any(part.split(".")[0].lower() in _DEVICES for part in parts), "is a device on some systems"),
    )
    return next((told for wrong, told in faults if wrong), None)


def parse_version(text: str) -> Version:
    """A version by semver.org 2.0.0, without build metadata: two that differ in it alone would be equal.

    Raises `ValueError` with a sentence.
    """
    try:
        version = Version.parse(text)
    except (ValueError, TypeError):
        raise ValueError("must be a semantic version, such as 1.4.0 or 2.0.0-rc.1") from None
    if not text.isascii():
        raise ValueError("must be a semantic version, such as 1.4.0 or 2.0.0-rc.1")
    if version.build is not None:
        raise ValueError("must have no build metadata (+…): it does not order versions")
    if max(version.major, version.minor, version.patch) >= 10**MOST_DIGITS:
        raise ValueError(f"must have numbers of at most {MOST_DIGITS} digits")
    return version


def line_of(version: Version) -> str:
    """Versions of one line follow each other: `1.4.0`, `1.4.1`."""
    return f"{version.major}.{version.minor}"
