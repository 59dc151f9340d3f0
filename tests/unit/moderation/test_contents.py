"""What moderators are shown and checks look at is everything that is sold, not only the content."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from promptforge.actors.moderation.checks.findings import not_checked
from promptforge.actors.moderation.checks.messages import Severity
from promptforge.actors.moderation.checks.passages import LONGEST, of_prompt
from promptforge.actors.moderation.contents import OVERLAP, STRETCH, compared_texts, strings_of, unified, whole_of
from promptforge.actors.prompts.messages import (
    ModelSettings,
    PromptKind,
    PromptVersionView,
    Tool,
    Variable,
    VariableType,
)

PLAIN = PromptVersionView(
    prompt_id="prm_1",
    version=1,
    kind=PromptKind.TEXT,
    content="Say {{word}}.",
    settings=ModelSettings(),
    message=None,
    content_hash="0" * 64,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    created_by="usr_1",
)
SCHEMA = {"type": "object", "properties": {"a/b": {"type": "string", "description": "hidden schema"}}}
FULL = replace(
    PLAIN,
    variables=(
        Variable("word", description="hidden description", default="hidden default"),
        Variable("choice", VariableType.ENUM, values=("hidden value", "other")),
        Variable("data", VariableType.JSON, default={"key": ["hidden json", 4111111111111111, True, None]}),
    ),
    tools=(
        Tool("hidden_tool", "hidden tool description", {"properties": {"x": {"description": "hidden parameters"}}}),
    ),
    response_schema=SCHEMA,
)
HIDDEN = {
    "hidden description": "description of the variable word, line 1, column 1",
    "hidden default": "default of the variable word, line 1, column 1",
    "hidden value": "values of the variable choice, at /0",
    "hidden json": "default of the variable data, at /key/0",
    "4111111111111111": "default of the variable data, at /key/1",
    "hidden_tool": "name of a tool, line 1, column 1",
    "hidden tool description": "description of the tool hidden_tool, line 1, column 1",
    "hidden parameters": "parameters of the tool hidden_tool, at /properties/x/description",
    "hidden schema": "response schema, at /properties/a~1b/description",
}


@pytest.mark.parametrize("text", HIDDEN)
def test_every_text_of_a_version_is_looked_at_and_its_place_is_told(text: str) -> None:
    found = [(one, one.text.index(text)) for one in of_prompt(FULL) if text in one.text]
    assert found
    assert HIDDEN[text] in {passage.where(position) for passage, position in found}


@pytest.mark.parametrize("text", HIDDEN)
def test_every_text_of_a_version_is_in_what_is_compared(text: str) -> None:
    assert text in whole_of(FULL)
    assert [line for line in unified(PLAIN, FULL).splitlines() if line[0] == "+" and text in line]


def test_a_schema_that_alone_has_changed_is_in_the_difference() -> None:
    after = replace(FULL, response_schema={**SCHEMA, "description": "how to build it"})
    changed = [line for line in unified(FULL, after).splitlines()[2:] if line[0] in "+-"]
    assert changed == ['+  "description": "how to build it",']
    assert unified(FULL, FULL) == ""


def test_settings_that_are_left_to_the_model_are_not_told() -> None:
    assert whole_of(PLAIN) == "Say {{word}}."
    assert '"temperature": 0.5' in whole_of(replace(PLAIN, settings=ModelSettings(temperature=0.5)))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, []),
        ("a", [("", "a")]),
        ({"a~b": {"c": [1, "d", False]}}, [("/a~0b", "a~b"), ("/a~0b/c", "c"), ("/a~0b/c/0", "1"), ("/a~0b/c/1", "d")]),
    ],
)
def test_the_strings_of_a_json_value_have_their_pointers(value: Any, found: list[tuple[str, str]]) -> None:
    assert list(strings_of(value)) == found


def test_a_term_that_two_strings_make_together_is_in_one_text() -> None:
    (*_, passage) = of_prompt(replace(PLAIN, response_schema={"description": "steal", "title": "passwords"}))
    assert passage.text == "description\nsteal\ntitle\npasswords"
    assert [passage.where(passage.text.index(word)) for word in ("description", "steal", "title", "passwords")] == [
        "response schema, at /description",
        "response schema, at /description",
        "response schema, at /title",
        "response schema, at /title",
    ]


def test_what_is_cut_of_a_text_is_told() -> None:
    long = replace(PLAIN, content="x" * (LONGEST + 7))
    (finding,) = not_checked(list(of_prompt(long)))
    assert (finding.code, finding.severity) == ("not_all_checked", Severity.HIGH)
    assert finding.detail.startswith("7 characters were not looked at by the checks, the ends of: content")
    assert list(not_checked(list(of_prompt(FULL)))) == []


def test_of_a_long_text_stretches_are_compared_besides_and_what_is_short_is_whole_in_one() -> None:
    text = "".join(f"{number:06}" for number in range(20_000))
    whole, *stretches = compared_texts(replace(PLAIN, content=text), ())
    assert whole == text
    assert max(len(one) for one in stretches) == STRETCH
    for start in range(0, len(text) - OVERLAP + 1, 997):
        assert any(text[start : start + OVERLAP] in one for one in stretches)
    assert compared_texts(replace(PLAIN, content="x" * STRETCH), ()) == ["x" * STRETCH]


def test_sentences_beside_the_content_are_compared_and_what_most_schemas_have_is_not() -> None:
    assert compared_texts(FULL, ()) == [PLAIN.content]
    prose = (
        "Write the three sentences that a hurried reader would want to have read, "
        "and name the one fact that matters most to them."
    )
    described = replace(FULL, response_schema={**SCHEMA, "description": prose})
    assert compared_texts(described, ()) == [PLAIN.content, prose]
