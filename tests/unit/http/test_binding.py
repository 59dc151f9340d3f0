from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from annotated_types import Ge, Len
from hypothesis import given
from hypothesis import strategies as st
from pydantic import MISSING

from promptforge.core.clock import Instant
from promptforge.core.errors import ConfigurationError, Invalid, Malformed
from promptforge.core.messages import Command, Query, public
from promptforge.http import binding
from promptforge.http.binding import Binder
from promptforge.http.body import MAX_DEPTH, MAX_VALUES
from promptforge.http.pointers import locate, pointer
from promptforge.http.routing import get, patch, post, put
from tests.unit.http.sample import Colour, CreateThing, ListThings, RenameThing, Size

CREATE = Binder(post("/things", CreateThing))
LIST = Binder(get("/things", ListThings))
RENAME = Binder(patch("/things/{thing_id}", RenameThing))


@public
class Patched(Command[None]):
    """A partial change."""

    number: Annotated[int, Ge(1)]
    note: str | MISSING | None = MISSING
    either: int | tuple[int, ...] = 0


@public
class Numbered(Query[None]):
    """Typed parameters."""

    number: Annotated[int, Ge(1)]
    flag: bool = False


@public
class Since(Query[None]):
    """What happened after a moment."""

    since: Instant


@public
class Postpone(Command[None]):
    """Do it at a moment."""

    until: Instant


@public
class Rated(Query[None]):
    """A fraction in an address."""

    least: float


@public
class Listed(Command[None]):
    """Lists with bounds."""

    names: Annotated[tuple[str, ...], Len(1, 2)]
    pairs: tuple[Annotated[tuple[str, ...], Len(2, 2)], ...] = ()


class Odd:
    """No type that JSON can carry."""


@public
class Unreadable(Command[None]):
    """It has an odd field."""

    odd: Odd


RATED = Binder(get("/rated", Rated))


def refused(binder: Binder, *, path: dict[str, str] | None = None, query: bytes = b"", body: bytes = b"") -> set[str]:
    """Where and why each field was refused, as `place code`."""
    with pytest.raises(Invalid) as caught:
        binder.bind(path or {}, query, body)
    return {f"{error.parameter or error.pointer} {error.code}" for error in caught.value.errors}


def test_a_body_becomes_the_message_with_its_defaults() -> None:
    message = CREATE.bind({}, b"", b'{"title":"Vase","size":{"width":2,"labels":["a"]},"notes":{"x":[1,2.5,null]}}')
    assert message == CreateThing(title="Vase", size=Size(2, ("a",)), notes={"x": [1, 2.5, None]})


def test_enumerations_are_bound_as_such_from_body_and_query() -> None:
    assert CREATE.bind({}, b"", b'{"title":"Vase","colour":"blue"}') == CreateThing(title="Vase", colour=Colour.BLUE)
    assert LIST.bind({}, b"colour=blue&limit=7", b"") == ListThings(colour=Colour.BLUE, limit=7)


def test_a_list_parameter_may_be_repeated_and_another_may_not() -> None:
    assert LIST.bind({}, b"tags=a&tags=b%26c", b"") == ListThings(tags=("a", "b&c"))
    assert refused(LIST, query=b"limit=5&limit=6") == {"limit repeated_parameter"}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    body = b'{"title":"","count":"5","size":{"width":0,"odd/~key":1},"unknown":1}'
    assert refused(CREATE, query=b"q=1", body=body) == {
        "q unknown_parameter",
        "/title string_too_short",
        "/count int_type",
        "/size/width greater_than_equal",
        "/size/odd~1~0key unknown_field",
        "/unknown unknown_field",
    }


def test_thousands_of_faults_are_counted_and_not_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "locate", lambda *_, **__: pytest.fail("one was looked for"))
    labels = ",".join(["0"] * (MAX_VALUES // 2))
    body = f'{{"title":"Vase","size":{{"width":1,"labels":[{labels}]}}}}'.encode()
    with pytest.raises(Invalid) as caught:
        CREATE.bind({}, b"", body)
    (told,) = caught.value.errors
    assert (told.code, told.pointer) == ("faults", "")
    assert str(MAX_VALUES // 2) in told.detail


def test_path_query_and_body_are_told_together() -> None:
    binder = Binder(put("/numbers/{number}", Patched))
    assert refused(binder, path={"number": "0"}, query=b"x=1", body=b'{"note":5}') == {
        "number greater_than_equal",
        "x unknown_parameter",
        "/note string_type",
    }


def test_what_is_missing_is_named() -> None:
    assert refused(CREATE, body=b"{}") == {"/title missing"}
    assert refused(CREATE, body=b'{"title":"a","size":{}}') == {"/size/width missing"}


@pytest.mark.parametrize("text", ["5.0", "1e2", "1_0", " 5", "+5", "05", "five", "", "-", "٣", "5\n", "0x5"])
def test_a_number_in_an_address_is_written_one_way(text: str) -> None:
    assert refused(Binder(get("/numbers/{number}", Numbered)), path={"number": text}) == {"number int_parsing"}
    assert refused(LIST, query=b"limit=" + quote(text).encode()) == {"limit int_parsing"}


@pytest.mark.parametrize("text", ["4", "4.5", "-0.25", "45e-1", "1E2"])
def test_a_fraction_in_an_address_is_written_as_in_json(text: str) -> None:
    assert RATED.bind({}, f"least={text}".encode(), b"") == Rated(least=json.loads(text))


@pytest.mark.parametrize("text", ["4_0", " 4", "+4", ".5", "4.", "04", "nan", "inf", "Infinity", "0x4", "٤", "", "1e"])
def test_a_fraction_is_written_in_no_other_way(text: str) -> None:
    assert refused(RATED, query=b"least=" + quote(text).encode()) == {"least float_parsing"}


def test_a_fraction_that_is_no_number_any_more_is_refused() -> None:
    assert refused(RATED, query=b"least=1e999") == {"least finite_number"}


def test_of_a_list_with_a_wrong_item_it_is_not_told_that_it_is_too_short() -> None:
    binder = Binder(post("/things", Listed))
    assert refused(binder, body=b'{"names":[5]}') == {"/names/0 string_type"}
    assert refused(binder, body=b'{"names":[]}') == {"/names too_short"}
    assert refused(binder, body=b'{"names":["a","b",5],"pairs":[["c"]]}') == {
        "/names/2 string_type",
        "/pairs/0 too_short",
    }


def test_sizes_are_told_in_words_of_json() -> None:
    for query, words in ((b'{"names":[]}', "at least 1 item"), (b'{"names":["a","b","c"]}', "at most 2 items")):
        with pytest.raises(Invalid) as caught:
            Binder(post("/things", Listed)).bind({}, b"", query)
        (told,) = caught.value.errors
        assert words in told.detail
        assert "uple" not in told.detail


def test_a_number_in_an_address_has_64_bits() -> None:
    binder = Binder(get("/numbers/{number}", Numbered))
    assert binder.bind({"number": str(2**63 - 1)}, b"", b"") == Numbered(number=2**63 - 1)
    assert refused(binder, path={"number": str(-(2**63))}) == {"number greater_than_equal"}
    for number in (str(2**63), str(-(2**63) - 1), "9" * 30, "9" * 20_000):
        assert refused(binder, path={"number": number}) == {"number number_out_of_range"}


def test_a_parameter_of_the_path_cannot_be_given_in_the_query_too() -> None:
    assert refused(RENAME, path={"thing_id": "a"}, query=b"thing_id=b", body=b"{}") == {"thing_id unknown_parameter"}


def test_a_field_of_the_path_cannot_be_given_in_the_body_too() -> None:
    assert refused(RENAME, path={"thing_id": "a"}, body=b'{"thing_id":"b"}') == {"/thing_id unknown_field"}


def test_a_body_may_be_left_out_where_all_its_fields_have_defaults() -> None:
    assert RENAME.bind({"thing_id": "a"}, b"", b"") == RenameThing(thing_id="a")
    with pytest.raises(Malformed, match="empty"):
        CREATE.bind({}, b"", b"")


def test_not_sent_differs_from_null() -> None:
    binder = Binder(patch("/numbers/{number}", Patched))
    assert binder.bind({"number": "1"}, b"", b"{}") == Patched(number=1)
    assert binder.bind({"number": "1"}, b"", b'{"note":null}') == Patched(number=1, note=None)


def test_what_no_member_of_a_union_takes_is_told_where_it_is() -> None:
    binder = Binder(patch("/numbers/{number}", Patched))
    assert refused(binder, path={"number": "1"}, body=b'{"either":"x"}') == {"/either int_type"}
    assert refused(binder, path={"number": "1"}, body=b'{"either":[1,"x"]}') >= {"/either/1 int_type"}


def test_values_that_could_not_be_stored_are_refused_wherever_they_are() -> None:
    notes = b'{"a":{"b":["\\u0000",1e400,-9223372036854775809]}}'
    body = b'{"title":"a\\u0000b","count":9223372036854775808,"notes":' + notes + b"}"
    assert refused(CREATE, body=body) == {
        "/title nul_character",
        "/count number_out_of_range",
        "/notes/a/b/0 nul_character",
        "/notes/a/b/1 number_out_of_range",
        "/notes/a/b/2 number_out_of_range",
    }
    assert refused(CREATE, body=b'{"title":"a","notes":{"\\u0000":1}}') == {"/notes nul_character"}


def test_the_largest_and_smallest_64_bit_numbers_are_taken() -> None:
    CREATE.bind({}, b"", b'{"title":"a","count":9223372036854775807,"notes":{"least":-9223372036854775808}}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"a","title":"b"}',
        b'{"title":"a","notes":{"x":1,"x":2}}',
        b'{"title":"a","notes":{"x":1,"\\u0078":2}}',
        b'{"title":"a","notes":{"x" \n:1,"x":2}}',
    ],
)
def test_an_object_that_says_a_key_twice_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="twice"):
        CREATE.bind({}, b"", body)


def test_text_that_looks_like_keys_is_no_repeated_key() -> None:
    CREATE.bind({}, b"", b'{"title":"a","notes":{"x":"\\"x\\":1,\\"x\\":2"}}')


def test_a_body_nested_too_deep_is_malformed() -> None:
    deep = b'{"title":"a","notes":{"x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}}"
    with pytest.raises(Malformed, match="nested"):
        CREATE.bind({}, b"", deep)


def test_a_body_of_too_many_values_is_malformed() -> None:
    with pytest.raises(Malformed, match="at most"):
        CREATE.bind({}, b"", b'{"title":"a","notes":{"x":[' + b"1," * MAX_VALUES + b"1]}}")


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b'"text"', b"5", b"{", b"", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}']
)
def test_what_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        CREATE.bind({}, b"", body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_at_all_makes_anything_but_a_message_or_our_errors(value: Any) -> None:  # Any: JSON
    for tree in (value, {"title": value, "notes": value}, {"title": "a", "notes": {"x": value}}):
        try:
            CREATE.bind({}, b"", json.dumps(tree).encode())
        except (Invalid, Malformed):
            continue


@given(st.binary(max_size=64))
def test_no_query_string_at_all_makes_anything_but_a_message_or_our_errors(query: bytes) -> None:
    try:
        LIST.bind({}, query, b"")
    except (Invalid, Malformed):
        return


@given(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1))
def test_pointers_lead_back_to_the_value(tree: dict[str, int]) -> None:
    for key, value in tree.items():
        decoded = pointer((key,))[1:].replace("~1", "/").replace("~0", "~")
        assert tree[decoded] == value
        assert locate((key, "union-member"), tree, missing=False) == (key,)


def test_a_field_that_cannot_be_validated_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="Odd"):
        Binder(post("/odd", Unreadable))


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.000z", "2026-01-31T13:30:00+01:30", "2026-01-30T23:00:00-13:00"],
)
def test_a_moment_is_read_into_utc(text: str) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    encoded = text.replace("+", "%2B").encode()
    since = Binder(get("/since", Since)).bind({}, b"since=" + encoded, b"")
    until = Binder(post("/postpone", Postpone)).bind({}, b"", json.dumps({"until": text}).encode())
    assert (since, until) == (Since(since=noon), Postpone(until=noon))


@pytest.mark.parametrize(
    "text",
    [
        *("0.5", "1700000000", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00Z", "2026-01-31 12:00:00Z"),
        *("2026-02-30T12:00:00Z", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "", "tomorrow"),
    ],
)
def test_a_moment_has_to_be_written_in_full(text: str) -> None:
    in_query = refused(Binder(get("/since", Since)), query=b"since=" + text.encode())
    body = json.dumps({"until": text.replace("%2B", "+")}).encode()
    in_body = refused(Binder(post("/postpone", Postpone)), body=body)
    assert [code.split()[0] for code in (*in_query, *in_body)] == ["since", "/until"]
