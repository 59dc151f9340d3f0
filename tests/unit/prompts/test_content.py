"""What a version is made of: the canonical hash that tells versions apart, and the limits."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.prompts.messages import (
    ChatMessage,
    ChatRole,
    CreateVersion,
    ModelSettings,
    PromptKind,
    PromptView,
    Tool,
    Variable,
    VariableType,
)
from promptforge.actors.prompts.registry.domain import MAX_CONTENT_BYTES, check_content, content_hash, new_version
from promptforge.core.errors import Invalid

SYSTEM = ChatMessage(ChatRole.SYSTEM, "Be brief.")
USER = ChatMessage(ChatRole.USER, "{{q}}")
SHAPE: TypeAdapter[CreateVersion] = TypeAdapter(CreateVersion)


@pytest.mark.parametrize(
    ("content", "settings", "canonical"),
    [
        (
            "Summarise {{article}}.",
            ModelSettings(temperature=0.5, model="small"),
            '{"content":"Summarise {{article}}.","settings":{"model":"small","temperature":0.5}}',
        ),
        (
            (SYSTEM, USER),
            ModelSettings(),
            ('{"content":[{"content":"Be brief.","role":"system"},{"content":"{{q}}","role":"user"}],"settings":{}}'),
        ),
        ('\u00e4 \n"', ModelSettings(max_tokens=5), '{"content":"\u00e4 \\n\\"","settings":{"max_tokens":5}}'),
    ],
)
def test_the_canonical_form_never_changes(
    content: str | tuple[ChatMessage, ...], settings: ModelSettings, canonical: str
) -> None:
    """Stored hashes rest on it: a new form is a migration of every version."""
    assert content_hash(content, settings) == hashlib.sha256(canonical.encode()).hexdigest()


def test_everything_that_changes_what_a_model_does_changes_the_hash() -> None:
    different = [
        content_hash("a", ModelSettings()),
        content_hash("a ", ModelSettings()),
        content_hash("A", ModelSettings()),
        content_hash("\u00e4", ModelSettings()),
        content_hash("a\u0308", ModelSettings()),
        content_hash("a", ModelSettings(temperature=0.0)),
        content_hash("a", ModelSettings(top_p=0.0)),
        content_hash("a", ModelSettings(max_tokens=1)),
        content_hash("a", ModelSettings(model="a")),
        content_hash((SYSTEM, USER), ModelSettings()),
        content_hash((USER, SYSTEM), ModelSettings()),
        content_hash((ChatMessage(ChatRole.USER, "Be brief."), USER), ModelSettings()),
        content_hash((ChatMessage(ChatRole.SYSTEM, "Be brief.{{q}}"),), ModelSettings()),
    ]
    assert len(set(different)) == len(different)


def test_an_order_that_a_model_or_a_reader_gets_to_see_changes_the_hash() -> None:
    def of(*names: str, tool: bool = False) -> str:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        kept: dict[str, Any] = {"tools": [Tool("t", parameters=schema)]} if tool else {"response_schema": schema}
        return content_hash("a", ModelSettings(), **kept)

    def filled(default: object) -> str:
        return content_hash("{{v}}", ModelSettings(), variables=[Variable("v", VariableType.JSON, default=default)])

    assert of("reason", "answer") != of("answer", "reason")
    assert of("reason", "answer", tool=True) != of("answer", "reason", tool=True)
    assert filled([{"b": 1, "a": 2}]) != filled([{"a": 2, "b": 1}])
    inners: list[dict[str, str]] = [{"type": "string", "title": "a"}, {"title": "a", "type": "string"}]
    one, other = (
        content_hash("a", ModelSettings(), response_schema={"properties": {"properties": inner}}) for inner in inners
    )
    assert one == other, "the order of a schema's own words means nothing"


def test_hashes_of_what_is_in_the_order_of_the_alphabet_stay_what_they_were() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": [1]}}, "required": ["b", "a"]}
    variable = Variable("v", VariableType.JSON, default={"a": 1, "b": None})
    canonical = (
        '{"content":"x","response_schema":{"properties":{"a":{"type":"string"},"b":{"enum":[1]}},'
        '"required":["b","a"],"type":"object"},"settings":{},'
        '"variables":[{"default":{"a":1,"b":null},"name":"v","type":"json"}]}'
    )
    known = content_hash("x", ModelSettings(), response_schema=schema, variables=[variable])
    assert known == hashlib.sha256(canonical.encode()).hexdigest()


def test_what_only_looks_different_has_one_hash() -> None:
    whole = SHAPE.validate_json('{"prompt_id": "p", "content": "a", "settings": {"temperature": 1, "model": null}}')
    exact = SHAPE.validate_json('{"settings": {"temperature": 1.0}, "content": "a", "prompt_id": "p"}')
    assert content_hash(whole.content, whole.settings) == content_hash(exact.content, exact.settings)
    zero = SHAPE.validate_json('{"prompt_id": "p", "content": "a", "settings": {"temperature": -0.0}}')
    assert content_hash(zero.content, zero.settings) == content_hash("a", ModelSettings(temperature=0.0))


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_two_texts_share_a_hash_only_if_they_are_equal(one: str, other: str) -> None:
    assert (content_hash(one, ModelSettings()) == content_hash(other, ModelSettings())) is (one == other)


@pytest.mark.parametrize("pointer", ["/content", "/first_version/content"])
def test_content_is_of_the_prompts_kind(pointer: str) -> None:
    check_content(PromptKind.TEXT, "a", pointer=pointer)
    check_content(PromptKind.CHAT, (SYSTEM,), pointer=pointer)
    for kind, content in ((PromptKind.TEXT, (SYSTEM,)), (PromptKind.CHAT, "a")):
        with pytest.raises(Invalid) as refused:
            check_content(kind, content, pointer=pointer)
        assert [(error.code, error.pointer) for error in refused.value.errors] == [("wrong_kind", pointer)]


def test_the_limit_counts_bytes_and_all_messages_together() -> None:
    check_content(PromptKind.TEXT, "a" * MAX_CONTENT_BYTES)
    check_content(PromptKind.TEXT, "ä" * (MAX_CONTENT_BYTES // 2))
    half = ChatMessage(ChatRole.USER, "a" * (MAX_CONTENT_BYTES // 2))
    check_content(PromptKind.CHAT, (half, half))
    for content in ("a" * MAX_CONTENT_BYTES + "a", "ä" * (MAX_CONTENT_BYTES // 2) + "a"):
        with pytest.raises(Invalid):
            check_content(PromptKind.TEXT, content)
    with pytest.raises(Invalid):
        check_content(PromptKind.CHAT, (half, half, USER))


def test_a_version_is_what_was_asked_for() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    prompt = PromptView(
        id="prm_1",
        project_id="prj_1",
        name="One",
        kind=PromptKind.CHAT,
        description=None,
        tags=(),
        folder="",
        latest_version=2,
        forked_from=None,
        created_by="usr_1",
        archived_at=None,
        created_at=now,
        updated_at=now,
    )
    wanted = CreateVersion(prompt_id="prm_1", content=(USER,), settings=ModelSettings(top_p=0.5), message="why")
    version = new_version(prompt, 3, wanted, created_by="usr_2", now=now)
    assert (version.prompt_id, version.version, version.kind, version.message) == ("prm_1", 3, PromptKind.CHAT, "why")
    assert (version.content, version.settings) == ((USER,), ModelSettings(top_p=0.5))
    assert version.content_hash == content_hash((USER,), ModelSettings(top_p=0.5))


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": "NaN"},
        {"top_p": 1.01},
        {"max_tokens": 0},
        {"max_tokens": 1_000_001},
        {"max_tokens": 1.5},
        {"model": ""},
        {"model": "m" * 101},
        {"model": "gpt\u202e4"},
    ],
)
def test_settings_are_bounded(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"prompt_id": "p", "content": "a", "settings": settings})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\ud800",
        5,
        None,
        {"text": "a"},
        [],
        [{"role": "user", "content": ""}],
        [{"role": "robot", "content": "a"}],
        [{"role": "user", "content": "a"}] * 101,
    ],
)
def test_content_that_is_no_content(content: object) -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"prompt_id": "p", "content": content})


@pytest.mark.parametrize("text", ["", " \n\t", "\u00a0\u2003", "\u200b\u2060", "\x00 \u202e", "\u2028"])
def test_what_nobody_can_see_is_no_content(text: str) -> None:
    for kind, content in (
        (PromptKind.TEXT, text),
        (PromptKind.CHAT, (ChatMessage(ChatRole.SYSTEM, "Be brief."), ChatMessage(ChatRole.USER, text))),
    ):
        with pytest.raises(Invalid) as refused:
            check_content(kind, content)
        assert [error.code for error in refused.value.errors] == ["empty"]


@pytest.mark.parametrize("text", [" {{article}} ", "\n.\n", "\u200dक", "🙂\u200d"])
def test_little_is_enough(text: str) -> None:
    check_content(PromptKind.TEXT, text)
