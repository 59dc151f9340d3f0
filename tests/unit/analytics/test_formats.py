"""Exports as other programs read them: spreadsheets, pandas, DuckDB."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from promptforge.actors.analytics.exports.columns import Kind, Row, columns
from promptforge.actors.analytics.exports.formats import encoder_of
from promptforge.actors.analytics.exports.messages import ExportFormat

COLUMNS = columns(
    name=Kind.TEXT, number=Kind.INTEGER, value=Kind.NUMBER, right=Kind.BOOLEAN, at=Kind.MOMENT, credits=Kind.CREDITS
)
AT = datetime(2026, 11, 20, 8, 30, 0, 250_000, tzinfo=UTC)
ROWS: list[Row] = [
    ("plain", 1, 0.5, True, AT, "12.5"),
    ('with "quotes", commas\nand lines', -2, -1.25, False, AT, "-0.001"),
    ("日本語 🙂", 2**62, None, None, None, None),
    ("", None, 1e12, True, AT, "999999999"),
]


def written(form: ExportFormat, rows: Sequence[Row], *, piece: int = 3) -> bytes:
    encoder = encoder_of(form, COLUMNS)
    pieces = [encoder.rows(rows[start : start + piece]) for start in range(0, len(rows), piece)]
    return b"".join([*pieces, encoder.end()])


def asked(query: str) -> Any:  # Any: a row
    with duckdb.connect() as database:
        return database.execute(query).fetchone()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx=1", "\rx=1", "\nx=1", "=HYPERLINK(0)", "  =1", "\uff1d1"]
)
def test_no_text_of_a_csv_is_read_as_a_formula(text: str) -> None:
    (_, row) = csv.reader(io.StringIO(written(ExportFormat.CSV, [(text, -5, -1.5, True, AT, "-3")]).decode(), ""))
    assert row[0] == f"'{text}"
    assert row[1:] == ["-5", "-1.5", "true", "2026-11-20T08:30:00.250Z", "-3"]


def test_csv_is_what_was_put_in(tmp_path: Path) -> None:
    data = written(ExportFormat.CSV, ROWS)
    (tmp_path / "export.csv").write_bytes(data)
    told = list(csv.reader(io.StringIO(data.decode(), "")))
    assert told[0] == [column.name for column in COLUMNS]
    assert [row[0] for row in told[1:]] == [row[0] for row in ROWS]
    frame = pd.read_csv(tmp_path / "export.csv", keep_default_na=True, parse_dates=["at"])
    assert (frame["number"].sum(), frame["right"].tolist()[:2]) == (2**62 - 1, [True, False])
    assert frame["at"][0] == pd.Timestamp(AT)
    found = asked(f"select count(*), sum(credits) from read_csv('{tmp_path}/export.csv')")
    assert (found[0], round(float(found[1]), 3)) == (4, 1000000011.499)


def test_json_lines_are_what_was_put_in(tmp_path: Path) -> None:
    data = written(ExportFormat.JSONL, ROWS)
    (tmp_path / "export.jsonl").write_bytes(data)
    told = [json.loads(line) for line in data.splitlines()]
    assert [one["name"] for one in told] == [row[0] for row in ROWS]
    assert told[0] == {
        "name": "plain",
        "number": 1,
        "value": 0.5,
        "right": True,
        "at": "2026-11-20T08:30:00.250000Z",
        "credits": "12.5",
    }
    assert len(pd.read_json(tmp_path / "export.jsonl", lines=True)) == 4
    assert asked(f"select sum(number) from read_json('{tmp_path}/export.jsonl')") == (2**62 - 1,)


def test_parquet_is_what_was_put_in_with_its_types(tmp_path: Path) -> None:
    (tmp_path / "export.parquet").write_bytes(written(ExportFormat.PARQUET, ROWS))
    frame = pd.read_parquet(tmp_path / "export.parquet")
    assert frame["name"].tolist() == [row[0] for row in ROWS]
    assert frame["at"][0] == pd.Timestamp(AT)
    assert frame["credits"].tolist()[:2] == [Decimal("12.500"), Decimal("-0.001")]
    query = f"select count(*), sum(number)::bigint, sum(credits) from '{tmp_path}/export.parquet'"
    assert asked(query) == (4, 2**62 - 1, Decimal("1000000011.499"))


def test_many_row_groups_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.actors.analytics.exports.parquet.ROW_GROUP", 100)
    rows: list[Row] = [(f"row {number}", number, None, True, AT, "1") for number in range(2_050)]
    (tmp_path / "export.parquet").write_bytes(written(ExportFormat.PARQUET, rows, piece=70))
    frame = pd.read_parquet(tmp_path / "export.parquet")
    assert frame["number"].tolist() == list(range(2_050))
    assert frame["name"].iloc[-1] == "row 2049"


@pytest.mark.parametrize("form", ExportFormat)
def test_nothing_is_a_file_too(form: ExportFormat, tmp_path: Path) -> None:
    path = tmp_path / f"export.{form}"
    path.write_bytes(written(form, []))
    readers: dict[ExportFormat, Any] = {ExportFormat.CSV: pd.read_csv, ExportFormat.PARQUET: pd.read_parquet}
    if form in readers:
        assert list(readers[form](path).columns) == [column.name for column in COLUMNS]
    else:
        assert path.read_bytes() == b""
