"""The assistant's own prompts, kept as versioned files, and reading what a model answers to them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from promptforge.actors.ai.messages import FinishReason, RunMessage, RunResult, RunRole, RunUsage
from promptforge.actors.marketplace.messages import Category
from promptforge.core.amounts import from_millicredits, to_millicredits

VERSIONS = {"improve": 1, "generate": 1, "explain": 1, "critique": 1, "suggest": 1, "repair": 1}
"""Which version of each file is in use; older ones stay beside it. Usage records name it."""
CRITERIA = ("clarity", "context", "constraints", "output_format", "robustness")
MAX_TOKENS = {"improve": 2048, "generate": 2048, "explain": 1024, "critique": 1024, "suggest": 400}
_FENCE = re.compile(r"^\s*```[a-z]*\s*\n(.*?)\n?```\s*$", re.DOTALL)
_FAULTS_TOLD = 5

Schema = dict[str, Any]  # Any: JSON


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: dict[str, Schema] = {
    "critique": _object(
        scores={
            "type": "array",
            "minItems": len(CRITERIA),
            "maxItems": len(CRITERIA),
            "items": _object(
                criterion={"type": "string", "enum": list(CRITERIA)},
                score={"type": "integer", "minimum": 1, "maximum": 5},
                reason=_text(600),
            ),
        },
        summary=_text(1000),
    ),
    "suggest": _object(
        title=_text(120),
        summary=_text(300),
        tags={"type": "array", "minItems": 1, "maxItems": 8, "items": _text(40)},
        category={"type": "string", "enum": [category.value for category in Category]},
    ),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt of the assistant's: what the system says, and what the user does."""

    system: str
    user: str


@cache
def template(name: str) -> Template:
    """The version in use."""
    path = files("promptforge.actors.ai.assistant") / f"{name}.v{VERSIONS[name]}.md"
    _, system, user = re.split(r"^# (?:system|user)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    return Template(system.strip(), user.strip())


def purpose_of(name: str) -> str:
    return f"ai.{name}.v{VERSIONS[name]}"


def messages_for(name: str, *, subject: str, wish: str | None = None) -> tuple[RunMessage, ...]:
    """The chat that asks a model. What people wrote cannot close the tag that it stands in."""
    told = template(name)
    values = {
        "categories": ", ".join(Category),
        "subject": re.sub(r"</(?=(prompt|task)\b)", "<\\/", subject),
        "wish": wish or "none",
    }
    system = _filled(told.system, {"categories": values["categories"]})
    return (RunMessage(RunRole.SYSTEM, system), RunMessage(RunRole.USER, _filled(told.user, values)))


def repairing(messages: tuple[RunMessage, ...], answer: str, faults: list[str]) -> tuple[RunMessage, ...]:
    """The chat that asks for the same once more."""
    said = RunMessage(RunRole.ASSISTANT, answer or "{}")
    return (*messages, said, RunMessage(RunRole.USER, _filled(template("repair").user, {"faults": "; ".join(faults)})))


def _filled(text: str, values: dict[str, str]) -> str:
    """In one pass, so that what is filled in is not read again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values.get(match[1], match[0]), text)


def unfenced(text: str) -> str:
    """Without the code fence that models like to put around everything."""
    fenced = _FENCE.match(text)
    return (fenced[1] if fenced is not None else text).strip()


def read_answer(name: str, text: str) -> tuple[dict[str, Any], list[str]]:  # Any: JSON
    """The answer, and what is wrong with it: nothing, or a few sentences for the model to read."""
    try:
        answer = json.loads(unfenced(text))
    except (ValueError, RecursionError):
        return {}, ["it is not valid JSON"]
    errors = sorted(Draft202012Validator(SCHEMAS[name]).iter_errors(answer), key=lambda error: error.json_path)
    faults = [f"{error.json_path}: {_fault(error)}" for error in errors[:_FAULTS_TOLD]]
    if not faults and name == "critique":
        criteria = {score["criterion"] for score in answer["scores"]}
        faults = [f"$.scores: {criterion} is missing" for criterion in CRITERIA if criterion not in criteria]
    return (answer if isinstance(answer, dict) else {}), faults


def _fault(error: Any) -> str:  # Any: the library has no types
    """Its own message quotes the answer, which may be long."""
    message: str = error.message
    return message if len(message) <= 120 else f"does not keep to {error.validator}"


def summed(results: list[RunResult], usages: list[RunUsage]) -> tuple[RunUsage, FinishReason]:
    """What all attempts took together, and how the last one ended."""
    first = usages[0]
    usage = RunUsage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        estimated=any(usage.estimated for usage in usages),
        cost_microusd=sum(usage.cost_microusd for usage in usages),
        credits=from_millicredits(sum(to_millicredits(usage.credits) for usage in usages)),
        latency_ms=sum(usage.latency_ms for usage in usages),
        first_token_ms=first.first_token_ms,
    )
    return usage, results[-1].finish_reason
