"""Reads the form-encoded, nested parameters of Stripe's API: `line_items[0][price_data][currency]=usd`.

Whatever is read is judged here: a wrong type is refused as Stripe refuses it, with the parameter's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from promptforge.deploy.sandbox.refusals import Refused, invalid

Tree = dict[str, Any]  # Any: texts, lists and trees of them
MOST_FIELDS = 1_000
DEEPEST = 8
MOST_METADATA = 50
_NAME = re.compile(r"[^\[\]]+(\[[^\[\]]*\])*")
_PART = re.compile(r"\[([^\[\]]*)\]")


def parse(text: str) -> Tree:
    """The nested parameters of a query string or a form. Raises `Refused`."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise invalid("Invalid request: too many parameters, or not UTF-8") from None
    tree: Tree = {}
    for name, value in pairs:
        if _NAME.fullmatch(name) is None:
            raise invalid(f"Invalid parameter name: {name[:100]}", param=name[:100])
        head, _, _ = name.partition("[")
        _place(tree, [head, *_PART.findall(name)], value, name)
    return {key: _listed(value) for key, value in tree.items()}


def _place(tree: Tree, path: list[str], value: str, name: str) -> None:
    if len(path) > DEEPEST:
        raise invalid(f"Nested too deeply: {name[:100]}", param=name[:100])
    for part in path[:-1]:
        tree = tree.setdefault(part or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(f"Invalid hash: {name}", param=name)
    tree[path[-1] or str(len(tree))] = value


def _listed(value: Any) -> Any:  # Any: a text or a tree
    """Trees whose keys are 0, 1, 2 … are lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(part) for key, part in value.items()}
    if inner and all(key.isdecimal() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


class Params:
    """The parameters of one request, or one nested part of them. `path` is where it hangs, for messages."""

    def __init__(self, tree: Tree, path: str = "") -> None:
        self._tree = tree
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)

    @property
    def tree(self) -> Tree:
        return self._tree

    def name(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name

    def check_known(self, known: Iterable[str]) -> None:
        """Refuse what the sandbox would have to ignore silently: at Stripe an unknown parameter is an error too."""
        if unknown := sorted(set(self._tree) - set(known)):
            raise invalid(
                f"Received unknown parameter: {self.name(unknown[0])}",
                param=self.name(unknown[0]),
                code="parameter_unknown",
            )

    def find(self, name: str) -> str | None:
        """A text; an empty one means that there is none."""
        value = self._tree.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {value!r}"[:200], param=self.name(name))
        return value

    def text(self, name: str) -> str:
        value = self.find(name)
        if value is None:
            raise self.missing(name)
        return value

    def missing(self, name: str) -> Refused:
        return invalid(f"Missing required param: {self.name(name)}.", param=self.name(name), code="parameter_missing")

    def find_integer(self, name: str) -> int | None:
        value = self.find(name)
        if value is None:
            return None
        if re.fullmatch(r"-?[0-9]{1,15}", value) is None:
            raise invalid(f"Invalid integer: {value}", param=self.name(name), code="parameter_invalid_integer")
        return int(value)

    def integer(self, name: str) -> int:
        value = self.find_integer(name)
        if value is None:
            raise self.missing(name)
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.find(name)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise invalid(f"Invalid boolean: {value}", param=self.name(name))
        return value.lower() == "true"

    def choice(self, name: str, choices: Iterable[str], default: str | None = None) -> str:
        value = self.find(name) or default
        if value is None:
            raise self.missing(name)
        if value not in (allowed := tuple(choices)):
            expected = ", ".join(allowed)
            raise invalid(f"Invalid {self.name(name)}: must be one of {expected}", param=self.name(name))
        return value

    def part(self, name: str) -> Params:
        """A nested hash; an empty one where there is none."""
        value = self._tree.get(name) or {}
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {self.name(name)}", param=self.name(name))
        return Params(value, self.name(name))

    def parts(self, name: str) -> list[Params]:
        value = self._tree.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise invalid(f"Invalid array: {self.name(name)}", param=self.name(name))
        return [Params(one, f"{self.name(name)}[{number}]") for number, one in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        value = self._tree.get(name) or []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise invalid(f"Invalid array: {self.name(name)}", param=self.name(name))
        return value

    def metadata(self, there: dict[str, str] | None = None) -> dict[str, str]:
        """What metadata becomes: given keys are set, empty ones removed, the rest stays."""
        merged = dict(there or {})
        if self._tree.get("metadata") == "":
            return {}
        part = self.part("metadata")
        for key in part:
            if (value := part.find(key)) is None:
                merged.pop(key, None)
            elif len(key) > 40 or len(value) > 500:
                raise invalid(f"Metadata is limited to 40 and 500 characters: {key}", param=part.name(key))
            else:
                merged[key] = value
        if len(merged) > MOST_METADATA:
            raise invalid("Metadata is limited to 50 keys", param=self.name("metadata"))
        return merged
