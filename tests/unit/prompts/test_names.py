"""Names, folders and tags: what people may call things, and what PATCH does with what was not sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import MISSING, TypeAdapter, ValidationError

from promptforge.actors.prompts import messages
from promptforge.actors.prompts.messages import CreatePrompt, UpdatePrompt
from promptforge.core.messages import Access, Message

CREATE: TypeAdapter[CreatePrompt] = TypeAdapter(CreatePrompt)
UPDATE: TypeAdapter[UpdatePrompt] = TypeAdapter(UpdatePrompt)


def test_names_are_trimmed_and_composed() -> None:
    made = CREATE.validate_python({"name": " Cafe\u0301 ", "tags": [" e\u0301 "], "folder": "a / e\u0301"})
    assert (made.name, made.tags, made.folder) == ("Caf\u00e9", ("\u00e9",), "a/\u00e9")


def test_the_limit_holds_for_what_is_stored() -> None:
    assert CREATE.validate_python({"name": " " * 200 + "n" * 120 + " "}).name == "n" * 120
    grows = "\ufb2c" * 120  # NFC takes this letter apart into three
    with pytest.raises(ValidationError):
        CREATE.validate_python({"name": grows})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "a\nb",
        "a\x00b",
        "a\u200bb",  # zero-width space
        "a\u202eb",  # right-to-left override
        "a\u2028b",  # line separator
        "\ufeff",
        "a\ue000",  # private use
        "a\ud800",  # half a surrogate pair
        "n" * 121,
        7,
        None,
    ],
)
def test_names_that_mislead_or_show_nothing_are_refused(name: object) -> None:
    for adapter, needed in ((CREATE, {}), (UPDATE, {"prompt_id": "p"})):
        with pytest.raises(ValidationError):
            adapter.validate_python({**needed, "name": name})


def test_a_very_long_name_is_refused_before_it_is_worked_on() -> None:
    with pytest.raises(ValidationError) as refused:
        CREATE.validate_python({"name": "n" * 1_000_000})
    assert "65536" in str(refused.value)


def test_markup_and_other_scripts_are_just_text() -> None:
    for name in ("<script>alert(1)</script>", "{{7*7}}", "' OR 1=1", "提示词", "👩‍💻", "می‌خواهم"):
        assert CREATE.validate_python({"name": name}).name == name


@pytest.mark.parametrize("folder", ["", "news", "news/daily", "a b/c d"])
def test_folders_that_can_be_had(folder: str) -> None:
    assert CREATE.validate_python({"name": "n", "folder": folder}).folder == folder


@pytest.mark.parametrize("folder", ["/news", "news/", "a//b", "/", " ", "a/ /b", "a/\u202eb", "a\nb", "f" * 201])
def test_folders_that_are_no_path(folder: str) -> None:
    with pytest.raises(ValidationError):
        CREATE.validate_python({"name": "n", "folder": folder})


@pytest.mark.parametrize("tags", [["t"] * 21, [""], ["t" * 41], "tag", ["a\tb"]])
def test_tags_are_bounded(tags: object) -> None:
    with pytest.raises(ValidationError):
        CREATE.validate_python({"name": "n", "tags": tags})


def test_what_was_not_sent_is_told_from_null() -> None:
    sent = UPDATE.validate_json('{"prompt_id": "p", "description": null}')
    assert sent.description is None
    assert sent.name is sent.tags is sent.folder is MISSING
    for null in ("name", "tags", "folder"):
        with pytest.raises(ValidationError):
            UPDATE.validate_python({"prompt_id": "p", null: None})


def test_every_message_says_who_may_send_it() -> None:
    declared: list[type[Message[Any]]] = [  # Any: whatever they answer
        one
        for one in vars(messages).values()
        if isinstance(one, type) and issubclass(one, Message) and one.__module__ == messages.__name__
    ]
    internal = {one.__name__ for one in declared if one.requirement and one.requirement.access is Access.INTERNAL}
    assert internal == {
        "GetPromptVersionFor",
        "ListWithIncluded",
        "ReadPromptDocuments",
        "ReadPromptVersion",
        "ScanPromptDocuments",
    }
    for message in set(declared) - {one for one in declared if one.__name__ in internal}:
        assert message.requirement is not None
        assert message.requirement.scope in {"prompts:read", "prompts:write"}
        assert message.__doc__
