"""Titles that look like what they are."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.marketplace.messages import Summary, Tag, Title

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
    ],
)
def test_titles_that_look_like_others_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TITLE.validate_python(text)


def test_summaries_and_tags_are_held_to_the_same() -> None:
    for adapter in (TypeAdapter(Summary), TypeAdapter(Tag)):
        with pytest.raises(ValidationError):
            adapter.validate_python("Summ\u0430ries")
