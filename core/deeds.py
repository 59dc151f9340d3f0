"""What the audit log is told of an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]  # Any: what was, or is now; without secrets and prompt texts


@dataclass(frozen=True, slots=True)
class Deed:
    """`action` is dotted, as `credits.granted`; `target` is the id of what it is done to."""

    action: str
    target: str
    before: Facts | None = None
    after: Facts | None = None
