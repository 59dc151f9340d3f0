"""One range of bytes (RFC 9110, 14): what is answered with a part, what with the whole, and what cannot be."""

from __future__ import annotations

import pytest

from promptforge.http.errors import RangeNotSatisfiable
from promptforge.http.ranges import Part, part_of, still_the_same


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-99", (0, 100)),
        (b"bytes=0-", (0, 100)),
        (b"bytes=99-", (99, 100)),
        (b"bytes=50-1000", (50, 100)),
        (b"bytes=-1", (99, 100)),
        (b"bytes=-1000", (0, 100)),
        (b"Bytes=5-6", (5, 7)),
        (b"bytes = 5-6 ", (5, 7)),
        (b"bytes=0-" + b"9" * 5000, (0, 100)),
        (b"bytes=-" + b"9" * 5000, (0, 100)),
        (b"bytes=00000000000000000000005-6", (5, 7)),
    ],
)
def test_a_range_is_a_part(header: bytes, part: tuple[int, int]) -> None:
    assert part_of(header, 100) == Part(*part)


@pytest.mark.parametrize(
    "header",
    [
        *(
            None,
            b"",
            b"bytes",
            b"bytes=",
            b"bytes=-",
            b"bytes=a-b",
            b"bytes=5",
            b"bytes=6-5",
            b"bytes=--5",
            b"bytes=5--",
        ),
        *(b"bytes=0-1,5-6", b"bytes=0-1, 5-6", b"items=0-5", b"bytes=0x0-5", b"bytes=+1-5", "bytes=٥-6".encode()),
        *(b"bytes=1.5-2", b"bytes=1e1-20", b"\xff\xfe"),
    ],
)
def test_what_is_no_single_range_asks_for_the_whole(header: bytes | None) -> None:
    assert part_of(header, 100) is None


@pytest.mark.parametrize("header", [b"bytes=100-", b"bytes=100-200", b"bytes=-0", b"bytes=" + b"9" * 5000 + b"-"])
def test_what_is_beyond_the_end_cannot_be_answered(header: bytes) -> None:
    with pytest.raises(RangeNotSatisfiable):
        part_of(header, 100)


def test_of_nothing_there_is_no_part() -> None:
    for header in (b"bytes=0-", b"bytes=-5"):
        with pytest.raises(RangeNotSatisfiable):
            part_of(header, 0)
    assert part_of(None, 0) is None


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (None, True),
        (b'"abc"', True),
        (b' "abc" ', True),
        (b'"abd"', False),
        (b'W/"abc"', False),
        (b"abc", False),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", False),
        (b"*", False),
    ],
)
def test_a_part_is_only_sent_of_the_same_file(header: bytes | None, same: bool) -> None:  # noqa: FBT001
    assert still_the_same(header, b'"abc"') is same
