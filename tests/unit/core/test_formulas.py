"""What a spreadsheet would run is not run, whichever separator it takes."""

from __future__ import annotations

import csv
import io

import pytest

from promptforge.core.formulas import harmless


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        " =1+1",
        '"=1+1',
        "ok;=1+1",
        "ok; @SUM(A1)",
        "ok|+1",
        "a\t-2",
        "a;;=1",
        "＝1",
        "x;＝1",
        'x;"=1+1;y',
        'x;""=1+1',
        'x;" \'=1+1;"',
        'x\n=1+1;"y',
        'x\r\n" @SUM(A1)|',
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_no_cell_begins_like_a_formula(text: str, separator: str) -> None:
    sheet = io.StringIO()
    csv.writer(sheet).writerow(["before", harmless(text), "after"])
    for row in csv.reader(io.StringIO(sheet.getvalue(), newline=""), delimiter=separator):
        for cell in row:
            assert not cell.strip(' "').startswith(("=", "+", "-", "@", "＝")), cell


@pytest.mark.parametrize(
    "text", ["plain", "a; b", "1 = 1", "x-y", "e-mail; web", 'it\'s; "so"', "one\ntwo", "a" + "\n" * 100_000, ""]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text
