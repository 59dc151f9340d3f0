"""From path, query and body to a message: every field is validated, and everything that is wrong is told at once.

The rules come from the message's fields alone. Path parameters and, for GET and DELETE, the query are text, so numbers
are read from it; a JSON body has types of its own, so `"5"` is no number there. What is unknown or repeated is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from promptforge.core.errors import ConfigurationError, FieldError, Invalid, Malformed
from promptforge.core.messages import Message
from promptforge.http.body import MAX_INT64, MIN_INT64, judge, parse_object
from promptforge.http.pointers import Location, locate, pointer
from promptforge.http.routing import MessageClass, Route

MOST_FAULTS = 1_000
"""Of a body, that are told one by one."""
MAX_QUERY_PARAMETERS = 64
_MOST_ROUTES = 1_000
_TEXT = ConfigDict(extra="forbid", hide_input_in_errors=True)
_JSON = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SIZE = re.compile(r"\w+ should have (at (?:least|most) \d+ items?) after validation, not \w+")
_MOST_DIGITS = len(str(MIN_INT64))
_SEQUENCES = (tuple, list, set, frozenset)
_CODES = {
    "unexpected_keyword_argument": ("unknown_field", "There is no such field here"),
    "missing": ("missing", "This is required"),
    **{
        code: (code, "There is no such date and time; one is written like 2026-01-31T12:00:00Z (RFC 3339)")
        for code in ("datetime_parsing", "datetime_from_date_parsing")
    },
    "string_pattern_mismatch": ("string_pattern_mismatch", "This does not have the form that is asked for"),
}

Shape = TypeAdapter[Any]  # Any: a dataclass made at start-up
Values = dict[str, Any]  # Any: a message's fields


class Binder:
    """Compiled once per route. `parameters` and `body` are the shapes that the documentation shows; either may be None.

    Raises `ConfigurationError` where a field cannot be validated from what HTTP carries.
    """

    def __init__(self, route: Route) -> None:
        fields = _fields_of(route.message)
        if route.upload is not None:
            del fields[route.upload.field]
        in_path = set(route.parameters)
        self.takes_body = route.takes_body and route.upload is None
        in_body = {name for name in fields if name not in in_path} if self.takes_body else set()
        self.message = route.message
        self.parameters = _shape(route, {n: f for n, f in fields.items() if n not in in_body}, _TEXT)
        self.body = _shape(route, {n: f for n, f in fields.items() if n in in_body}, _JSON)
        self.body_required = any(_is_required(fields[name]) for name in in_body)
        self._numbers = {
            _told_name(n, hint): judged
            for n, (hint, _) in fields.items()
            for kind, judged in ((int, _wrong_integer), (float, _wrong_fraction))
            if n not in in_body and _is(hint, kind)
        }
        self.lists = frozenset(n for n, (hint, _) in fields.items() if n not in in_path | in_body and _is_list(hint))
        self._no_parameters = self.parameters is None

    def bind(self, path: Mapping[str, str], query: bytes, body: bytes) -> Message[Any]:
        """Make the message. Raises `Invalid` with every bad field, or `Malformed`."""
        errors: list[FieldError] = []
        values: Values = {}
        if query or not self._no_parameters:
            self._bind_parameters(path, query, values, errors)
        if self.takes_body:
            self._bind_body(body, values, errors)
        if errors:
            count = "One field is" if len(errors) == 1 else f"{len(errors)} fields are"
            raise Invalid(f"{count} not valid", errors=tuple(errors))
        return self.message(**values)

    # Path and query

    def _bind_parameters(self, path: Mapping[str, str], query: bytes, values: Values, errors: list[FieldError]) -> None:
        text: Values = {**self._parse_query(query, path, errors), **path} if query else {**path}
        for name in self._numbers.keys() & text.keys():
            wrong = self._numbers[name](text[name])
            if wrong is not None:
                del text[name]
                errors.append(FieldError(*wrong, parameter=name))
        if self.parameters is None:
            errors.extend(_unknown_parameter(name) for name in text)
            return
        try:
            if self.lists:
                made = self.parameters.validator.validate_python(text, strict=False)
            else:
                made = self.parameters.validator.validate_strings(text)
        except ValidationError as error:
            told = {field.parameter for field in errors}
            errors.extend(f for f in _parameter_errors(error) if f.parameter not in told)
        else:
            values.update(made.__dict__)

    def _parse_query(self, query: bytes, path: Mapping[str, str], errors: list[FieldError]) -> Values:
        found: Values = {}
        for name, value in _pairs(query):
            if name in path:
                errors.append(_unknown_parameter(name))
            elif "\0" in value:
                errors.append(FieldError("The NUL character cannot be stored", "nul_character", parameter=name))
            elif name in self.lists:
                found.setdefault(name, []).append(value)
            elif name in found:
                errors.append(FieldError("This may be given once only", "repeated_parameter", parameter=name))
            else:
                found[name] = value
        return found

    # Body

    def _bind_body(self, body: bytes, values: Values, errors: list[FieldError]) -> None:
        if not body:
            if self.body_required:
                raise Malformed("This needs a JSON object as its body, and the body is empty")
            return
        tree = parse_object(body)
        judged = judge(tree, body)
        errors.extend(judged)
        if self.body is None:
            errors.extend(_unknown_field(name) for name in tree)
            return
        try:
            made = self.body.validator.validate_json(body)
        except ValidationError as error:
            told = {field.pointer for field in judged}
            errors.extend(f for f in _body_errors(error, tree) if f.pointer not in told)
        else:
            values.update(made.__dict__)


@lru_cache(maxsize=_MOST_ROUTES)
def binder_of(route: Route) -> Binder:
    """The route's own; compiling it takes milliseconds, so a process does it once, also for several applications."""
    return Binder(route)


def _fields_of(message: MessageClass) -> dict[str, tuple[Any, dataclasses.Field[Any]]]:  # Any: annotations
    try:
        hints = get_type_hints(message, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{message.__name__}: an annotation cannot be resolved: {error}") from None
    return {field.name: (hints[field.name], field) for field in dataclasses.fields(message)}


def description_of(cls: type) -> str:
    """A class's own docstring; empty where it is only the signature that dataclasses put there."""
    text = inspect.getdoc(cls) if "__doc__" in vars(cls) else None
    return "" if text is None or text.startswith(f"{cls.__name__}(") else text


def _is_required(field: tuple[Any, dataclasses.Field[Any]]) -> bool:
    declared = field[1]
    return declared.default is dataclasses.MISSING and declared.default_factory is dataclasses.MISSING


def _shape(route: Route, fields: Mapping[str, tuple[Any, dataclasses.Field[Any]]], config: ConfigDict) -> Shape | None:
    """A dataclass of these fields, named for the operation, which pydantic can validate and describe."""
    if not fields:
        return None
    members: list[Any] = []  # Any: what make_dataclass takes
    for name, (hint, field) in fields.items():
        if field.default is not dataclasses.MISSING:
            members.append((name, hint, dataclasses.field(default=field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            members.append((name, hint, dataclasses.field(default_factory=field.default_factory)))
        else:
            members.append((name, hint))
    name = route.operation[0].upper() + route.operation[1:] + ("Parameters" if config is _TEXT else "")
    namespace = {"__pydantic_config__": config, "__doc__": description_of(route.message)}
    made = dataclasses.make_dataclass(name, members, kw_only=True, namespace=namespace)
    made.__module__ = route.message.__module__
    try:
        return TypeAdapter(made)
    except (PydanticUserError, NameError) as error:
        raise ConfigurationError(f"{route.method} {route.path}: {error}") from None


def _plain(hint: Any) -> set[Any]:  # Any: annotations
    """The types that a field may have, without constraints and None."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return set().union(*(_plain(member) for member in get_args(hint))) - {type(None)}
    return {get_origin(hint) or hint}


def _told_name(name: str, hint: Any) -> str:  # Any: an annotation
    """What clients call the field: its alias, where its name would be a word of Python's."""
    if get_origin(hint) in (Union, UnionType):
        return next((told for member in get_args(hint) if (told := _told_name(name, member)) != name), name)
    metadata = getattr(hint, "__metadata__", ())
    return next((item.alias for item in metadata if getattr(item, "alias", None)), name)


def _is(hint: Any, wanted: type) -> bool:
    return _plain(hint) == {wanted}


def _is_list(hint: Any) -> bool:
    return any(member in _SEQUENCES for member in _plain(hint))


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if _BAD_ESCAPE.search(query):
        raise Malformed("The query string has a % without two hexadecimal digits")
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_QUERY_PARAMETERS,
        )
    except UnicodeDecodeError:
        raise Malformed("The query string is not UTF-8") from None
    except ValueError:
        raise Malformed(f"The query string may have at most {MAX_QUERY_PARAMETERS} parameters") from None


def _wrong_integer(text: str) -> tuple[str, str] | None:
    """What is wrong with a whole number in an address: it has one way to be written, and 64 bits."""
    if not _INTEGER.fullmatch(text):
        return "This must be a whole number, in digits: 100, and not 1e2, 100.0 or +100", "int_parsing"
    if len(text) > _MOST_DIGITS or not MIN_INT64 <= int(text) <= MAX_INT64:
        return "The number does not fit into 64 bits", "number_out_of_range"
    return None


def _wrong_fraction(text: str) -> tuple[str, str] | None:
    """What is wrong with a number in an address: it is written as in JSON (RFC 8259, 6)."""
    if not _FRACTION.fullmatch(text):
        return "This must be a number as in JSON: 4.5", "float_parsing"
    if not math.isfinite(float(text)):
        return "The number is too large", "finite_number"
    return None


def _unknown_parameter(name: str) -> FieldError:
    return FieldError("There is no such parameter here", "unknown_parameter", parameter=name)


def _unknown_field(name: str) -> FieldError:
    return FieldError("There is no such field here", "unknown_field", pointer((name,)))


def _parameter_errors(error: ValidationError) -> list[FieldError]:
    found: dict[str, FieldError] = {}
    for name, (code, detail) in _told(error):
        parameter = str(name[0]) if name else ""
        if code == "unknown_field":
            found.setdefault(parameter, _unknown_parameter(parameter))
        else:
            found.setdefault(parameter, FieldError(detail, code, parameter=parameter))
    return list(found.values())


def _body_errors(error: ValidationError, tree: object) -> list[FieldError]:
    number = error.error_count()
    if number > MOST_FAULTS:  # telling each costs 15 µs, and nobody mends thousands by hand
        return [FieldError(f"There are {number} faults in this body; send one item to be told its", "faults", "")]
    found: dict[str, FieldError] = {}
    for reported, (code, detail) in _told(error):
        where = pointer(locate(reported, tree, missing=code == "missing"))
        found.setdefault(where, FieldError(detail, code, where))
    return list(found.values())


def _told(error: ValidationError) -> list[tuple[Location, tuple[str, str]]]:
    """Location, code and sentence of each thing that pydantic found; never the input itself.

    A list whose items are wrong counts as too short to it, without them: what is wrong is the items.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    around = {item["loc"][:end] for item in found for end in range(len(item["loc"]))}
    told = []
    for item in found:
        if item["type"] == "too_short" and item["loc"] in around:
            continue
        detail = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        detail = _SIZE.sub(r"This must have \1", detail)
        told.append((item["loc"], _CODES.get(item["type"], (item["type"], detail))))
    return told
