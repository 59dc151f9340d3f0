"""What the files of a package say: prompts in the shape of an export, datasets, and a README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

import orjson
import pydantic_core
from annotated_types import Len
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.datasets.messages import DatasetDescription, DatasetName, ItemSchema, NewItem
from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.prompts.exchange.messages import ExportedPrompt

T = TypeVar("T")
MAX_ITEMS = 5_000
"""Of all datasets of a package together."""


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A dataset as it stands in a package."""

    name: DatasetName
    description: DatasetDescription | None
    variables_schema: ItemSchema | None
    items: Annotated[tuple[NewItem, ...], Len(0, MAX_ITEMS)]


@dataclass(frozen=True, slots=True)
class Contents:
    readme: str | None
    prompts: tuple[ExportedPrompt, ...]
    datasets: tuple[DatasetFile, ...]


_PROMPT: TypeAdapter[ExportedPrompt] = TypeAdapter(ExportedPrompt)
_DATASET: TypeAdapter[DatasetFile] = TypeAdapter(DatasetFile)


def encode(value: ExportedPrompt | DatasetFile) -> bytes:
    """JSON, in the order in which things were written: models answer in the order of a schema's properties."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def decode_prompt(path: str, data: bytes) -> ExportedPrompt:
    """Raises `PackageRefused`."""
    return _decode(_PROMPT, path, data)


def decode_dataset(path: str, data: bytes) -> DatasetFile:
    """Raises `PackageRefused`."""
    return _decode(_DATASET, path, data)


def decode_readme(path: str, data: bytes) -> str:
    """Raises `PackageRefused`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PackageRefused("bad_content", f"{path!r} is not UTF-8") from None
    if "\0" in text:
        raise PackageRefused("bad_content", f"{path!r} has a NUL character")
    return text


def _decode(adapter: TypeAdapter[T], path: str, data: bytes) -> T:
    try:
        _check_storable(pydantic_core.from_json(data, allow_inf_nan=False))
        return adapter.validate_json(data, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "/".join(str(part) for part in first["loc"])[:120]
        raise PackageRefused("bad_content", f"{path!r}: {where}: {first['msg'][:200]}") from None
    except ValueError as error:
        raise PackageRefused("bad_content", f"{path!r}: {str(error)[:200]}") from None


def _check_storable(tree: object) -> None:
    """Raises `ValueError` for what a database does not take."""
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > 64:
            raise ValueError("It is nested more than 64 levels deep")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("It has a NUL character")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("It has a number beyond 64 bits")
