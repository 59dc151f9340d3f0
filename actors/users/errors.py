"""What can go wrong with a profile."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class HandleTaken(Conflict):
    code = "handle_taken"
    title = "Somebody else has this handle"
