"""Values of variables: declared types, defaults, and strict filling in.

A text with variables is filled in one pass over its pieces. A value is put down as it is and never read for braces,
so a value cannot include a prompt or ask for another variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from promptforge.actors.prompts.messages import Variable, VariableType
from promptforge.actors.prompts.rendering.templates import VariablePart
from promptforge.core.errors import FieldError, Invalid

MAX_RENDERED_CHARACTERS = 1_048_576

Pieces = Sequence[str | VariablePart]
Values = Mapping[str, Any]  # Any: JSON


def effective(names: Sequence[str], declared: Sequence[Variable]) -> tuple[Variable, ...]:
    """What a text asks for: its variables in the order of their use; one that nobody declared is a string.

    Of several declarations of one name the first counts: whoever includes comes before what is included.
    """
    known: dict[str, Variable] = {}
    for variable in declared:
        known.setdefault(variable.name, variable)
    return tuple(known.get(name) or Variable(name) for name in dict.fromkeys(names))


def texts(variables: Sequence[Variable], declared: Sequence[Variable], values: Values) -> dict[str, str]:
    """What stands for each variable. `declared` ones may be given also where nothing uses them.

    Raises `Invalid`, with a pointer to each variable that is missing, unknown or not of its type.
    """
    known = {variable.name: variable for variable in (*declared, *variables)}
    errors = [_error(name, "There is no such variable here", "unknown_variable") for name in values.keys() - known]
    filled: dict[str, str] = {}
    for name, variable in known.items():
        given = name in values
        value = values[name] if given else variable.default
        if not given and value is None:
            if any(used.name == name for used in variables):
                errors.append(_error(name, "This variable has no default: give it a value", "missing_variable"))
            continue
        problem = problem_of(variable, value)
        if problem is not None:
            errors.append(_error(name, problem, "wrong_type"))
        else:
            filled[name] = as_text(variable.type, value)
    if errors:
        count = "One variable is" if len(errors) == 1 else f"{len(errors)} variables are"
        raise Invalid(f"{count} not right", errors=tuple(sorted(errors, key=lambda error: error.pointer or "")))
    return filled


def fill(pieces: Pieces, filled: Mapping[str, str], *, room: int = MAX_RENDERED_CHARACTERS) -> str:
    """The text. Raises `Invalid` where it would be longer than `room` characters."""
    parts = [piece if isinstance(piece, str) else filled[piece.name] for piece in pieces]
    if sum(map(len, parts)) > room:
        error = FieldError(f"The text would have more than {room} characters", "too_long", pointer="/variables")
        raise Invalid("The rendered text is too long", errors=(error,))
    return "".join(parts)


def problem_of(variable: Variable, value: object) -> str | None:
    """Why the value is not one of the variable's type; None where it is."""
    match variable.type:
        case VariableType.STRING:
            return None if isinstance(value, str) else "This must be a text"
        case VariableType.NUMBER:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return None if is_number else "This must be a number"
        case VariableType.BOOLEAN:
            return None if isinstance(value, bool) else "This must be true or false"
        case VariableType.ENUM:
            return None if value in variable.values else f"This must be one of {', '.join(variable.values)}"
        case VariableType.JSON:
            return None


def as_text(kind: VariableType, value: Any) -> str:  # Any: JSON
    """Texts as they are; everything else as compact JSON, keys in the order in which they were given."""
    if kind in (VariableType.STRING, VariableType.ENUM):
        return str(value)
    return orjson.dumps(value).decode()


def _error(name: str, detail: str, code: str) -> FieldError:
    return FieldError(detail, code, pointer="/variables/" + name.replace("~", "~0").replace("/", "~1"))
