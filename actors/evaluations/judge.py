"""The judge's prompt, kept as a versioned file, and reading what a model answers to it."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from promptforge.actors.ai.messages import RunMessage, RunRole
from promptforge.actors.datasets.messages import ItemView

VERSION = 1
"""Which version of the file is in use; older ones stay beside it. Usage records name it."""
PURPOSE = f"evaluation.judge.v{VERSION}"
MAX_TOKENS = 300
LONGEST_REASON = 1000
SCHEMA: dict[str, Any] = {  # Any: JSON
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string", "minLength": 1, "maxLength": LONGEST_REASON},
    },
    "required": ["score", "reason"],
    "additionalProperties": False,
}
_FENCE = re.compile(r"^\s*```[a-z]*\s*\n(.*)\n\s*```\s*$", re.DOTALL)


def judge_messages(criteria: str, item: ItemView, answer: str) -> tuple[RunMessage, ...]:
    """The chat that asks for a judgement. What people and models wrote cannot close the tag that it stands in."""
    system, user = _template()
    values = {
        "criteria": _kept_in(criteria),
        "values": _kept_in(orjson.dumps(item.variables).decode()),
        "expected": _kept_in(item.expected or "(not known)"),
        "answer": _kept_in(answer),
    }
    filled = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], user)  # in one pass: values are not read again
    return (RunMessage(RunRole.SYSTEM, system), RunMessage(RunRole.USER, filled))


def read_judgement(text: str) -> tuple[float, str] | None:
    """Score and reason; None where it has not the form that was asked for."""
    fenced = _FENCE.match(text)
    try:
        told = orjson.loads(fenced[1] if fenced is not None else text)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    score, reason = told.get("score"), told.get("reason")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        return None
    return (float(score), reason[:LONGEST_REASON]) if isinstance(reason, str) and reason.strip() else None


@cache
def _template() -> tuple[str, str]:
    path = files("promptforge.actors.evaluations") / f"judge.v{VERSION}.md"
    _, system, user = re.split(r"^# (?:system|user)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    return system.strip(), user.strip()


def _kept_in(text: str) -> str:
    return re.sub(r"</(?=(criteria|values|expected|answer)\b)", "<\\/", text)
