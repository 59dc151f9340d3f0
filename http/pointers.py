"""JSON pointers (RFC 6901) for what validation finds."""

from __future__ import annotations

from collections.abc import Sequence

Location = tuple[str | int, ...]


def pointer(location: Sequence[str | int]) -> str:
    """`("tags", 0, "a/b")` → `"/tags/0/a~1b"`; the whole document is the empty string."""
    return "".join([f"/{_escape(part)}" for part in location])


def _escape(part: str | int) -> str:
    return part.replace("~", "~0").replace("/", "~1") if isinstance(part, str) else str(part)


def locate(reported: Sequence[str | int], tree: object, *, missing: bool) -> Location:
    """Where in `tree` a validator's location is.

    Validators put the names of union members and the like between the keys; what is not in the tree is left out, but
    for the last part of a location that names the key which is `missing`.
    """
    found: list[str | int] = []
    node = tree
    for index, part in enumerate(reported):
        inside, below = _step(node, part)
        if inside:
            node = below
            found.append(part)
        elif missing and index == len(reported) - 1:
            found.append(part)
    return tuple(found)


def _step(node: object, part: str | int) -> tuple[bool, object]:
    if isinstance(node, dict) and part in node:
        return True, node[part]
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return True, node[part]
    return False, None
