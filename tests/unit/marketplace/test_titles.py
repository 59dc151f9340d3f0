"""Titles that look like what they are."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.marketplace.messages import Summary, Tag, Title
from promptforge.core.text import clean_line

TITLE: TypeAdapter[str] = TypeAdapter(Title)


@pytest.mark.parametrize(
    "text",
    [
        "Summaries for people in a hurry",
        "Résumés, naïve and «quoted» – 100 % ½",
        "Краткое содержание на русском",
        "Περιλήψεις στα ελληνικά",
        "Русский for beginners",
        "東京のニュース summary",
        "خلاصه\u200cها",
        "क्\u200dष",
        "Family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "GPT-5 vs. Claude",
        "Heart \u2764\ufe0f of 3\ufe0f\u20e3 parts \u2139\ufe0f",
        "Ti\u1ebfng Vi\u1ec7t",
        "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
        "AI\u6280\u8853\u306eT\u30b7\u30e3\u30c4",
        "<b>bold</b> & {{word}}",
    ],
)
def test_titles_in_any_script_and_in_several_are_taken(text: str) -> None:
    assert TITLE.validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Summ\u0430ries",
        "\u03a1remium prompts",
        "Best \u0440rompt",
        "Sum\u200dmaries",
        "Sum\u200cmaries",
        "Sum\u200bmaries",
        "safe\u202etxet",
        "safe\u2066text",
        "soft\u00adhyphen",
        "\ufeffSummaries",
        "\u3164\u3164\u3164",
        "Summaries\u3164",
        "Sum\uffa0maries",
        "Sum\u115fmaries",
        "Sum\u17b4maries",
        "Sum\u2800maries",
        "P\u034f\u0430\u034fypal",
        "P\u0308\u0430\u0308ypal",
        "Official\ufe0f",
        "Official\U000e0100",
        "O\ufe0f\u20e3fficial",
        "Offi" + "\u0300" * 6 + "cial",
        "\U00010404fficial",
        "...",
        "\u2764\ufe0f\u2764\ufe0f\u2764",
    ],
)
def test_titles_that_look_like_others_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TITLE.validate_python(text)


def test_summaries_and_tags_are_held_to_the_same() -> None:
    for adapter in (TypeAdapter(Summary), TypeAdapter(Tag)):
        with pytest.raises(ValidationError):
            adapter.validate_python("Summ\u0430ries")
        with pytest.raises(ValidationError):
            adapter.validate_python("\u3164\u3164\u3164")


@pytest.mark.parametrize("text", ["\u3164", "\u2800 \u2800", "\ufe0f", "a\u034fb", "\uffa0name"])
def test_no_line_is_blank_or_has_letters_that_show_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"blank|U\+"):
        clean_line(text)


def test_other_lines_may_be_emoji_alone() -> None:
    assert clean_line("\u2764\ufe0f") == "\u2764\ufe0f"
