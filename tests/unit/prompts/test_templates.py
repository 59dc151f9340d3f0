"""The template language: what is a variable, what an include, and that nothing is ever read twice."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.prompts.errors import IncludeCycle
from promptforge.actors.prompts.messages import Include, Variable, VariableType
from promptforge.actors.prompts.rendering.expansion import Fragment, Pin, Place, expand, joined
from promptforge.actors.prompts.rendering.templates import (
    BadInclude,
    IncludePart,
    Part,
    VariablePart,
    parse,
    variables_of,
)
from promptforge.actors.prompts.rendering.values import effective, fill, texts
from promptforge.core.errors import Conflict, Invalid

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
ANYTHING = st.text(st.sampled_from(list("{}> @ab1\n")) | st.characters(codec="utf-8"), max_size=40)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="{}"), max_size=20)


def source(part: Part) -> str:
    assert not isinstance(part, BadInclude)
    if isinstance(part, VariablePart):
        return part.source
    return part if isinstance(part, str) else f"{{{{> {part.name}@{part.pin}}}}}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("a {{b}} c", ("a ", VariablePart("b", "{{b}}"), " c")),
        ("{{ b }}", (VariablePart("b", "{{ b }}"),)),
        ("{{{b}}}", ("{", VariablePart("b", "{{b}}"), "}")),
        ("{{1b}} {{b c}} {{}} { {b} } {{b}", ("{{1b}} {{b c}} {{}} { {b} } {{b}",)),
        ("{{> house style@production}}", (IncludePart("house style", "production"),)),
        ("{{>style@3}}", (IncludePart("style", "3"),)),
        ("{{> me@home.org @ 12 }}", (IncludePart("me@home.org", "12"),)),
        ("{{\nb}}", ("{{\nb}}",)),
    ],
)
def test_what_is_a_variable_and_what_an_include(text: str, parts: tuple[Part, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    "text", ["{{>}}", "{{> style}}", "{{> @production}}", "{{> style@}}", "{{> style@latest}}", "{{> style@Prod}}"]
)
def test_an_include_that_is_not_pinned_is_none(text: str) -> None:
    (part,) = parse(text)
    assert isinstance(part, BadInclude)


@given(ANYTHING)
def test_the_parts_are_the_text(text: str) -> None:
    parts = parse(text)
    if not any(isinstance(part, IncludePart | BadInclude) for part in parts):
        assert "".join(map(source, parts)) == text


def test_texts_made_to_be_slow_are_read_in_linear_time() -> None:
    for text in ("{{>" + " " * 262_000, "{{" * 131_000, "{{>" * 87_000, "{{ " * 87_000, "{{a" * 87_000 + "}}"):
        began = time.process_time()
        parse(text)
        assert time.process_time() - began < 2


@given(st.lists(PLAIN | NAMES.map(lambda name: VariablePart(name, f"{{{{{name}}}}}"))), st.data())
def test_a_value_is_put_down_as_it_is_and_never_read_again(
    pieces: list[str | VariablePart], data: st.DataObject
) -> None:
    """Whatever values say, includes and other variables among it: the text is the pieces with the values between."""
    names = sorted(variables_of(pieces))
    traps = st.sampled_from(["{{> secret@1}}", "{{> secret@production}}", *(f"{{{{{name}}}}}" for name in names)])
    values = {name: data.draw(traps | ANYTHING) for name in names}
    parsed = parse("".join(piece if isinstance(piece, str) else piece.source for piece in pieces))
    assert all(isinstance(part, str | VariablePart) for part in parsed)
    told = [part for part in parsed if isinstance(part, str | VariablePart)]
    rendered = fill(told, texts(effective(names, ()), (), values))
    assert rendered == "".join(piece if isinstance(piece, str) else values[piece.name] for piece in pieces)


@given(st.text(st.sampled_from(list("ab{}>@1 ")), max_size=30))
def test_an_included_text_is_only_read_by_itself(text: str) -> None:
    """Braces left open by one text are not closed by the next."""
    fragment = Fragment("prm_b", "b", 1, text, (), ())
    if any(isinstance(part, IncludePart | BadInclude) for part in parse(text)):
        return
    expanded = expand(
        ["{{> b@1}}name}}"], (Include("b", "prm_b", 1, None),), {("prm_b", "1"): fragment}, root=Place("prm_a", "a", 1)
    )
    assert joined(expanded.texts[0]) == text + "name}}"
    assert list(variables_of(expanded.texts[0])) == list(variables_of(parse(text)))


KINDS = {
    VariableType.STRING: ("text", 'a "b"', 'a "b"'),
    VariableType.NUMBER: (2.5, 3, "3"),
    VariableType.BOOLEAN: (True, False, "false"),
    VariableType.JSON: ({"a": [1, None]}, {"b": "ä", "a": 1}, '{"b":"ä","a":1}'),
    VariableType.ENUM: ("red", "blue", "blue"),
}


@pytest.mark.parametrize("kind", VariableType)
def test_every_type_has_its_text(kind: VariableType) -> None:
    default, value, text = KINDS[kind]
    variable = Variable("x", kind, default=default, values=("red", "blue") if kind is VariableType.ENUM else ())
    assert texts([variable], [variable], {"x": value}) == {"x": text}
    assert texts([variable], [variable], {}) == texts([variable], [variable], {"x": default})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (VariableType.STRING, [1, None, True, ["a"]]),
        (VariableType.NUMBER, ["1", None, True, [1]]),
        (VariableType.BOOLEAN, ["true", 0, 1, None]),
        (VariableType.ENUM, ["green", "", None, ["red"], 1]),
    ],
)
def test_a_value_of_another_type_is_refused(kind: VariableType, values: list[object]) -> None:
    variable = Variable("x", kind, values=("red", "blue") if kind is VariableType.ENUM else ())
    for value in values:
        with pytest.raises(Invalid) as refused:
            texts([variable], [variable], {"x": value})
        assert [(error.code, error.pointer) for error in refused.value.errors] == [("wrong_type", "/variables/x")]


def test_everything_that_is_wrong_is_told_at_once_and_points_to_it() -> None:
    used = effective(["a", "b"], [Variable("b", VariableType.NUMBER)])
    with pytest.raises(Invalid) as refused:
        texts(used, used, {"b": "x", "c/d~e": 1})
    told = [(error.code, error.pointer) for error in refused.value.errors]
    assert told == [
        ("missing_variable", "/variables/a"),
        ("wrong_type", "/variables/b"),
        ("unknown_variable", "/variables/c~1d~0e"),
    ]


def test_a_rendered_text_is_bounded() -> None:
    variable = VariablePart("x", "{{x}}")
    with pytest.raises(Invalid):
        fill([variable] * 1000, {"x": "a" * 2000})


def library(graph: dict[str, str]) -> dict[Pin, Fragment]:
    """Prompts by name; each includes those named in its text, `@1`."""
    made: dict[Pin, Fragment] = {}
    for name, text in graph.items():
        made[name, "1"] = Fragment(name, name, 1, text, includes(text), ())
    return made


def includes(text: str) -> tuple[Include, ...]:
    return tuple(Include(part.name, part.name, 1, None) for part in parse(text) if isinstance(part, IncludePart))


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4), min_size=1))
def test_expanding_any_graph_ends_and_names_what_is_wrong(edges: dict[str, list[str]]) -> None:
    """Against a plain search: a circle, a missing prompt or a depth beyond five is never passed over."""
    graph = {name: name + "".join(f"{{{{> {below}@1}}}}" for below in below_of) for name, below_of in edges.items()}
    root = min(graph)

    def walk(name: str, path: tuple[str, ...]) -> str:
        """The text, or what is wrong with the first include that is wrong."""
        found = name
        for below in edges[name]:
            if below in path:
                return "!include_cycle"
            if len(path) > 5:
                return "!includes_too_deep"
            if below not in edges:
                return "!include_missing"
            inner = walk(below, (*path, below))
            if inner.startswith("!"):
                return inner
            found += inner
        return found

    expected = walk(root, (root,))
    try:
        expanded = expand([graph[root]], includes(graph[root]), library(graph), root=Place(root, root, 1))
        outcome = joined(expanded.texts[0])
    except Conflict as error:
        outcome = f"!{error.code}"
    assert outcome in {expected, "!includes_too_large"}


def test_an_older_version_of_itself_is_no_circle_for_a_version_but_for_one_to_be_made() -> None:
    older = {("a", "1"): Fragment("a", "a", 1, "old", (), ())}
    texts_of_a, known = ["{{> a@1}}"], (Include("a", "a", 1, None),)
    assert joined(expand(texts_of_a, known, older, root=Place("a", "a", 2)).texts[0]) == "old"
    for version in (1, None):
        with pytest.raises(IncludeCycle):
            expand(texts_of_a, known, older, root=Place("a", "a", version))


def test_five_levels_are_allowed_and_six_are_not() -> None:
    chain = {name: f"{name}{{{{> {below}@1}}}}" for name, below in zip("abcdef", "bcdefg", strict=True)} | {"g": "g"}
    assert (
        joined(expand([chain["b"]], includes(chain["b"]), library(chain), root=Place("b", "b", 1)).texts[0]) == "bcdefg"
    )
    with pytest.raises(Exception, match="at most 5 levels"):
        expand([chain["a"]], includes(chain["a"]), library(chain), root=Place("a", "a", 1))


def test_many_includes_of_many_includes_are_stopped() -> None:
    """Ten times ten times ten … of a small text: a thousand million of it."""
    bomb = {name: f"{{{{> {below}@1}}}}" * 10 for name, below in zip("abcd", "bcde", strict=True)} | {"e": "x" * 1000}
    with pytest.raises(Exception, match="at most 200 includes"):
        expand([bomb["a"]], includes(bomb["a"]), library(bomb), root=Place("a", "a", 1))
    large = {"a": "{{> b@1}}" * 150, "b": "x" * 10_000}
    with pytest.raises(Exception, match="1048576 characters"):
        expand([large["a"]], includes(large["a"]), library(large), root=Place("a", "a", 1))
