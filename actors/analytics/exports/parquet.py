"""Rows as Parquet, written as they come."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from promptforge.actors.analytics.exports.columns import Column, Kind, Row

ROW_GROUP = 10_000


class ParquetEncoder:
    """A row group for each 10,000 rows. Credits are decimals, moments have milliseconds."""

    def __init__(self, columns: Sequence[Column]) -> None:
        types = {
            Kind.TEXT: pa.string(),
            Kind.INTEGER: pa.int64(),
            Kind.NUMBER: pa.float64(),
            Kind.BOOLEAN: pa.bool_(),
            Kind.MOMENT: pa.timestamp("ms", tz="UTC"),
            Kind.CREDITS: pa.decimal128(22, 3),
        }
        self._kinds = [column.kind for column in columns]
        self._schema = pa.schema([pa.field(column.name, types[column.kind]) for column in columns])
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._waiting: list[Row] = []

    def rows(self, rows: Sequence[Row]) -> bytes:
        self._waiting += rows
        while len(self._waiting) >= ROW_GROUP:
            self._write(self._waiting[:ROW_GROUP])
            del self._waiting[:ROW_GROUP]
        return self._sink.taken()

    def end(self) -> bytes:
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
        self._writer.close()
        return self._sink.taken()

    def _write(self, rows: Sequence[Row]) -> None:
        arrays = []
        for number, (kind, field) in enumerate(zip(self._kinds, self._schema, strict=True)):
            values = [row[number] for row in rows]
            if kind is Kind.CREDITS:
                values = [None if value is None else Decimal(value) for value in values]
            arrays.append(pa.array(values, type=field.type))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP)


class _Sink(io.RawIOBase):
    """What is written to it can be taken away; positions are those of the whole file."""

    def __init__(self) -> None:
        super().__init__()
        self._data = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # Any: a buffer
        piece = memoryview(data)
        self._data += piece
        self._written += piece.nbytes
        return piece.nbytes

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data
