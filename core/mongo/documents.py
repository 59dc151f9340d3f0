"""Whether something can be stored at all, known before it is sent together with what belongs to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.errors import BSONError

from promptforge.core.errors import PromptForgeError


class Unstorable(PromptForgeError):
    """A value that MongoDB has no type for: an integer beyond 64 bits, a name with a NUL character."""

    code = "unstorable"
    status = 422
    title = "A value cannot be stored"


def stored_size(document: Mapping[str, Any]) -> int:
    """How many bytes the document takes in MongoDB. Raises `Unstorable`."""
    try:
        return len(bson.encode(document))
    except (BSONError, OverflowError, UnicodeEncodeError, TypeError) as error:
        raise Unstorable(f"A value cannot be stored: {type(error).__name__}") from None
