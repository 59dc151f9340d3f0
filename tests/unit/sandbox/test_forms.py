from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.deploy.sandbox.forms import Params, parse
from promptforge.deploy.sandbox.refusals import Refused


def test_nested_parameters_become_hashes_and_lists() -> None:
    text = "mode=payment&line_items[0][price_data][currency]=usd&line_items[0][quantity]=2&line_items[1][quantity]=3"
    assert parse(text) == {
        "mode": "payment",
        "line_items": [{"price_data": {"currency": "usd"}, "quantity": "2"}, {"quantity": "3"}],
    }
    assert parse("expand[]=a&expand[]=b&created[gte]=5") == {"expand": ["a", "b"], "created": {"gte": "5"}}


def test_the_order_of_a_list_is_that_of_its_numbers() -> None:
    many = "&".join(f"a[{number}]={number}" for number in reversed(range(12)))
    assert parse(many) == {"a": [str(number) for number in range(12)]}


@pytest.mark.parametrize(
    "text",
    [
        "a[b=1",
        "a]=1",
        "[a]=1",
        "a[[b]]=1",
        "a=1&a[b]=2",
        "a" + "[b]" * 20 + "=1",
        "&".join(f"a{number}=1" for number in range(1001)),
        "a=%ff",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert refused.value.status == 400


@given(st.text(alphabet="ab[]=&01%", max_size=60))
def test_nothing_that_is_sent_breaks_the_reader(text: str) -> None:
    with suppress(Refused):
        assert isinstance(parse(text), dict)


def test_types_are_judged_with_the_name_of_the_parameter() -> None:
    params = Params(parse("a[n]=x&a[f]=maybe&a[t]=&a[l]=1&a[h][x]=1"))
    inner = params.part("a")
    for read in (
        lambda: inner.integer("n"),
        lambda: inner.flag("f"),
        lambda: inner.text("t"),
        lambda: inner.part("l"),
        lambda: inner.parts("h"),
        lambda: inner.text("h"),
    ):
        with pytest.raises(Refused) as refused:
            read()
        assert refused.value.body("")["error"]["param"].startswith("a[")


def test_metadata_is_merged_and_emptied_as_stripe_does_it() -> None:
    there = {"a": "1", "b": "2"}
    assert Params(parse("metadata[a]=3&metadata[b]=&metadata[c]=4")).metadata(there) == {"a": "3", "c": "4"}
    assert Params(parse("metadata=")).metadata(there) == {}
    assert Params({}).metadata(there) == there
    with pytest.raises(Refused):
        Params(parse(f"metadata[{'k' * 41}]=1")).metadata()
