"""Which texts beside the prompt's own are kept sealed."""

from __future__ import annotations

from promptforge.actors.prompts.messages import Variable, VariableType
from promptforge.actors.prompts.rendering.sealing import default_texts, schema_texts

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A keeper's answer",
    "description": "Weigh the letter first.",
    "type": "object",
    "required": ["mood"],
    "properties": {
        "title": {"type": "string", "description": "Never longer than a wave."},
        "mood": {"enum": ["calm", "stormy"], "default": "the mood of the sea"},
        "signed": {"const": "the keeper"},
    },
    "$defs": {"wish": {"$comment": "as one wishes a sailor", "examples": [{"text": "a dry coat"}]}},
    "anyOf": [{"not": {"description": "No thunder."}}, True, 3],
}


def test_of_a_schema_the_prose_is_sealed_and_not_what_answers_repeat() -> None:
    assert list(schema_texts(SCHEMA)) == [
        "A keeper's answer",
        "Weigh the letter first.",
        "Never longer than a wave.",
        "the mood of the sea",
        "as one wishes a sailor",
        "a dry coat",
        "No thunder.",
    ]
    assert list(schema_texts(None)) == []


def test_defaults_are_sealed_as_they_stand_in_the_text() -> None:
    variables = (
        Variable("letter"),
        Variable("tone", default="as the sea"),
        Variable("rules", VariableType.JSON, default={"first": ["never name a ship"]}),
        Variable("lines", VariableType.NUMBER, default=3),
    )
    assert list(default_texts(variables)) == ["as the sea", '{"first":["never name a ship"]}', "3"]
