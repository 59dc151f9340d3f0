"""What people and checks see of a package: every prompt, whatever else is in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from promptforge.actors.datasets.messages import NewItem
from promptforge.actors.moderation.checks.findings import not_checked, not_compared
from promptforge.actors.moderation.checks.messages import Check
from promptforge.actors.moderation.contents import compared_texts
from promptforge.actors.packages.format.contents import DatasetFile
from promptforge.actors.packages.messages import PackagePart
from promptforge.actors.packages.registry.domain import PackedDataset, Title, build_file
from promptforge.actors.packages.registry.reading import LONGEST, cut, parts_of, text_of
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, ExportedVersion
from promptforge.actors.prompts.messages import (
    ChatMessage,
    ChatRole,
    ModelSettings,
    PromptKind,
    PromptVersionView,
    Tool,
    Variable,
)
from promptforge.actors.prompts.packing.messages import PackedPrompt
from tests.support.packages import HASH, KEYS

WORDS = "The words of the prompt."
PROMPT = ExportedPrompt(
    name="Letter",
    kind=PromptKind.TEXT,
    description="The description of the prompt",
    tags=("a-tag",),
    folder="a/folder",
    versions=(
        ExportedVersion(version=1, content="The words of the first version."),
        ExportedVersion(
            version=2,
            content=WORDS,
            settings=ModelSettings(model="a-model", temperature=0.0),
            tools=(Tool("a_tool", "The description of the tool"),),
            response_schema={"title": "The title of the schema"},
            variables=(Variable("name", description="Described:\nin two lines", default="The default"),),
            message="The message of the change",
        ),
    ),
)


def built(*prompts: ExportedPrompt, readme: str = "# Read me", items: tuple[NewItem, ...] = ()) -> bytes:
    packed = [
        PackedPrompt(prompt=one, prompt_id=f"prm_{number}", included=False, content_hashes=(HASH,) * len(one.versions))
        for number, one in enumerate(prompts)
    ]
    datasets = [PackedDataset("dts_1", 1, DatasetFile("Data", None, None, items))] if items else []
    return build_file(Title("usr_1", "kit", "1.0.0", "", readme), packed, datasets, KEYS)[1]


def test_every_field_of_a_prompt_is_read_and_prompts_come_before_all_else() -> None:
    data = built(PROMPT, readme="The README", items=(NewItem({"word": "an item"}),))
    text = text_of(parts_of(data))
    told = (
        *("Letter", "The description of the prompt", "a-tag", "a/folder", WORDS, "a-model", "temperature: 0.0"),
        *("a_tool", "The description of the tool", "The title of the schema", "Described:\nin two lines"),
        *("The default", "The message of the change", "The words of the first version.", "The README", "an item"),
    )
    assert [one for one in told if one not in text] == []
    assert text.index("The words of the first version.") < text.index("The README") < text.index("an item")


def test_no_readme_and_no_dataset_hides_a_prompt() -> None:
    filler = tuple(NewItem({"text": "x" * 30_000}) for _ in range(200))
    parts = parts_of(built(PROMPT, readme="r" * 65_000, items=filler))
    assert WORDS in text_of(parts)
    checked = cut(parts)
    assert WORDS in [part.text for part in checked]
    assert sum(len(part.text) for part in checked) <= LONGEST < sum(len(part.text) for part in parts)
    assert [part.place for part in checked if part.left_out] == ["datasets/001-data.json"]
    assert len(text_of(parts)) < LONGEST + 1_000
    assert "characters more]" in text_of(parts)


def test_long_prompts_hide_no_other_and_the_moderator_is_told_what_was_not_looked_at() -> None:
    long = [
        ExportedPrompt(f"Long {one}", PromptKind.TEXT, versions=(ExportedVersion(1, f"{one}" * 250_000),))
        for one in range(9)
    ]
    checked = cut(parts_of(built(*long, PROMPT)))
    assert WORDS in [part.text for part in checked]
    assert min(len(part.text) for part in checked if part.prompt is not None and part.left_out) > 100_000
    (finding,) = not_checked(checked)
    assert (finding.check, finding.code) == (Check.COVERAGE, "not_all_checked")
    assert "prompts/001-long-0.json, version 1" in finding.detail
    assert list(not_checked(cut(parts_of(built(PROMPT))))) == []


def test_copies_are_looked_for_by_each_prompt_and_first_by_its_newest_version() -> None:
    chat = ExportedPrompt(
        "Chat", PromptKind.CHAT, versions=(ExportedVersion(1, (ChatMessage(ChatRole.USER, "Say it"),)),)
    )
    parts = parts_of(built(PROMPT, chat, readme="r" * 65_000))
    told = compared_texts(VIEW, parts)
    assert told == [WORDS, "[user]\nSay it", "The words of the first version."]
    assert compared_texts(VIEW, [PackagePart("README.md", "Only this")]) == ["all of it"]
    assert compared_texts(VIEW, ()) == ["all of it"]


@pytest.mark.parametrize(("texts", "codes"), [(-3, []), (0, []), (2, ["not_all_compared"])])
def test_texts_that_were_not_compared_are_told(texts: int, codes: list[str]) -> None:
    assert [finding.code for finding in not_compared(texts)] == codes


VIEW = PromptVersionView(
    prompt_id="pkg_1",
    version=1,
    kind=PromptKind.TEXT,
    content="all of it",
    settings=ModelSettings(),
    message=None,
    content_hash=HASH,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    created_by="usr_1",
)
