"""Rows as bytes: CSV, JSON lines, Parquet. An encoder holds what is not written yet, and no more.

In CSV a text that begins with what spreadsheets take for a formula gets an apostrophe before it (OWASP, "CSV
Injection"); numbers, moments and credits are none and stay as they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from promptforge.actors.analytics.exports.columns import Column, Kind, Row
from promptforge.actors.analytics.exports.messages import ExportFormat
from promptforge.core.formulas import harmless

MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


class Encoder(Protocol):
    """For one file, from its beginning to its end."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """What is ready to be written with these."""
        ...

    def end(self) -> bytes: ...


def encoder_of(form: ExportFormat, columns: Sequence[Column]) -> Encoder:
    if form is ExportFormat.CSV:
        return CsvEncoder(columns)
    if form is ExportFormat.JSONL:
        return JsonLinesEncoder(columns)
    # Here, for it takes half a second and some 60 MB, which few processes ever need.
    from promptforge.actors.analytics.exports.parquet import ParquetEncoder  # noqa: PLC0415

    return ParquetEncoder(columns)


class CsvEncoder:
    """RFC 4180, UTF-8, with the names of the columns in the first line."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._kinds = [column.kind for column in columns]
        self._first: list[Row] = [tuple(column.name for column in columns)]

    def rows(self, rows: Sequence[Row]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows(self._first)
        self._first = []
        writer.writerows([cell(value, kind) for value, kind in zip(row, self._kinds, strict=True)] for row in rows)
        return text.getvalue().encode()

    def end(self) -> bytes:
        return self.rows(())


def cell(value: Any, kind: Kind) -> Any:  # Any: see `Row`
    """A value as CSV has it."""
    if value is None:
        return ""
    if kind is Kind.MOMENT:
        return _told(value)
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    return harmless(value) if kind is Kind.TEXT else value


class JsonLinesEncoder:
    """One object in each line."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]

    def rows(self, rows: Sequence[Row]) -> bytes:
        options = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
        return b"".join(orjson.dumps(dict(zip(self._names, row, strict=True)), option=options) for row in rows)

    def end(self) -> bytes:
        return b""


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
