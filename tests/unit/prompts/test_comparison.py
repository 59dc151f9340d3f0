"""Differences: what is told is enough to get from one version to the other, and never takes long."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.prompts.comparison.domain import compare, unified
from promptforge.actors.prompts.comparison.messages import Change, MessageDiff
from promptforge.actors.prompts.messages import ChatMessage, ChatRole, ModelSettings, PromptKind, PromptVersionView

MESSAGES = st.lists(
    st.builds(ChatMessage, st.sampled_from(ChatRole), st.sampled_from(["a", "b", "a\nb", "c\n"])), max_size=6
).map(tuple)


def version(number: int, content: str | tuple[ChatMessage, ...]) -> PromptVersionView:
    kind = PromptKind.TEXT if isinstance(content, str) else PromptKind.CHAT
    now = datetime(2026, 11, 25, tzinfo=UTC)
    return PromptVersionView("prm_a", number, kind, content, ModelSettings(), None, "hash", now, "usr_a")


def applied(before: str, diff: str) -> str:
    """What `patch` makes of it."""
    lines = before.splitlines(keepends=True)
    made: list[str] = []
    at = 0
    told = diff.splitlines(keepends=True)[2:]
    for index, line in enumerate(told):
        if line.startswith("@@"):
            start = line.split()[1].lstrip("-").split(",")
            begin = int(start[0]) - (0 if len(start) > 1 and start[1] == "0" else 1)
            made += lines[at : max(begin, 0)]
            at = max(begin, 0)
            continue
        if line.startswith("\\"):
            continue
        text = line[1:]
        if index + 1 < len(told) and told[index + 1].startswith("\\"):
            text = text.removesuffix("\n")
        if line[0] in " -":
            assert lines[at] == text
            at += 1
        if line[0] in " +":
            made.append(text)
    return "".join(made + lines[at:])


TEXTS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12).map("\n".join)


@given(TEXTS, TEXTS)
def test_a_unified_diff_leads_from_one_text_to_the_other(before: str, after: str) -> None:
    diff = unified(before, after, 1, 2)
    assert (diff == "") is (before == after)
    if diff:
        assert applied(before, diff) == after


@given(MESSAGES, MESSAGES)
def test_of_a_chat_every_message_that_differs_is_told(
    before: tuple[ChatMessage, ...], after: tuple[ChatMessage, ...]
) -> None:
    found = compare(version(1, before), version(2, after)).messages
    assert bool(found) is (before != after)
    gone = {one.from_index for one in found if one.from_index is not None}
    come = {one.to_index for one in found if one.to_index is not None}
    kept = [message for index, message in enumerate(before) if index not in gone]
    assert kept == [message for index, message in enumerate(after) if index not in come]
    assert all(_is_what_it_says(one) for one in found)


def _is_what_it_says(one: MessageDiff) -> bool:
    change = {(True, False): Change.REMOVED, (False, True): Change.ADDED, (True, True): Change.CHANGED}
    return one.change is change[one.from_index is not None, one.to_index is not None]


def test_texts_made_to_be_slow_are_compared_in_time() -> None:
    """Every line is one of few, and none is where it was: the matcher's work grows with the square of it."""
    before = "".join(f"{number % 50}\n" for number in range(100_000))
    after = "".join(f"{number * 7 % 53}\n" for number in range(100_000))
    began = time.process_time()
    diff = compare(version(1, before), version(2, after)).unified
    assert time.process_time() - began < 5
    assert diff.startswith("--- version 1\n+++ version 2\n@@ -1,100000 +1,100000 @@\n")


def test_properties_in_another_order_are_told() -> None:
    properties = {"reason": {"type": "string"}, "answer": {"type": "string"}}
    schemas = [{"properties": properties}, {"properties": dict(reversed(properties.items()))}]
    before, after = (replace(version(number, "a"), response_schema=schemas[number - 1]) for number in (1, 2))
    told = compare(before, after).response_schema
    assert told is not None
    assert (list(told.before["properties"]), list(told.after["properties"])) == (
        ["reason", "answer"],
        ["answer", "reason"],
    )
    assert compare(before, before).response_schema is None
