"""What schemathesis has to know to send valid requests: rules that a JSON schema cannot say.

Only requests that are meant to be valid are changed; those meant to be wrong go out as they are.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.generation.meta import TestPhase

_SHOW_NOTHING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn"}
"""core/text.py refuses these; combining characters are put together by its normalisation, and that changes lengths."""


MOST = 2**63
EVERY = int(os.environ.get("BOUNDARIES_EVERY", "1"))
_seen: Counter[tuple[str, str]] = Counter()


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:  # Any: as schemathesis has them
    """Of an operation's boundary values the first valid and invalid ones, and then some: a short run has no more."""
    if EVERY == 1 or case.meta is None or case.meta.phase.name is not TestPhase.COVERAGE:
        return True
    kind = case.operation.label, case.meta.generation.mode.value
    _seen[kind] += 1
    return _seen[kind] % EVERY == 1


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:  # Any: as schemathesis has them
    """Send no made-up cursor (they are signed), no key twice, and words that show."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)
        for name, value in case.query.items():
            case.query[name] = _shown(value)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex
    if case.headers and not case.headers.get("If-Match", "*").startswith(("*", '"', "W/")):
        case.headers["If-Match"] = "*"  # boundary values are made without regard for the pattern
    if isinstance(case.body, (dict, list, str)):
        case.body = _shown(case.body)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.replace("\0", "x"): _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
        return int(value)  # a JSON schema counts 1.0 as an integer; here integers are written as such
    if isinstance(value, int) and abs(value) >= MOST:
        return 1  # where any JSON may stand, integers fit into 64 bits all the same
    return _shown_text(value) if isinstance(value, str) else value


def _shown_text(text: str) -> str:
    shown = "".join("x" if unicodedata.category(character) in _SHOW_NOTHING else character for character in text)
    stripped = shown.strip()
    if len(stripped) < len(shown):
        shown = stripped.join("xx") if not stripped else shown.replace(shown[0], "x", 1)
    return shown.rstrip().ljust(len(shown), "x")


@schemathesis.serializer("application/zip")
def zip_file(context: schemathesis.SerializationContext, value: Any) -> bytes:  # Any: as schemathesis generates it
    """A file goes out as the bytes that it is."""
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode("utf-8", "replace")
