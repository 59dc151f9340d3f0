"""Sheets as CSV files (RFC 4180), sent while they are read.

People open such files in spreadsheets, which take a cell that begins like a formula for one, whoever has written it: an
apostrophe in front makes it text (owasp.org/www-community/attacks/CSV_Injection). Numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import date

from starlette.types import Receive, Scope, Send

from promptforge.core.formulas import harmless
from promptforge.core.sheets import Sheet, Value
from promptforge.http.endpoint import Endpoint
from promptforge.http.exchange import exchange_of
from promptforge.http.replies import Rendered

ROWS_AT_ONCE = 100
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def cell(value: Value) -> str:
    """What stands in the file for a value."""
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).replace("\0", "")
    return text if _NUMBER.fullmatch(text) else harmless(text)


def written(rows: Sequence[Sequence[Value]]) -> bytes:
    """Some rows of the file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([[cell(value) for value in row] for row in rows])
    return text.getvalue().encode()


class SheetEndpoint(Endpoint):
    """Made once per route whose reply is a sheet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, _, context, message, asked = await self._admit(scope, receive)
        if isinstance(asked, Rendered):
            await asked(scope, receive, send)
            return
        sheet: Sheet = await self._wait(context.ask(message), asked, self._edge.disconnects.watch(exchange, receive))
        parts = _parts(sheet)
        first = await anext(parts)  # what goes wrong here is still a problem document
        headers = [
            (b"content-type", b"text/csv; charset=utf-8; header=present"),
            (b"content-disposition", f'attachment; filename="{sheet.name}.csv"'.encode("ascii")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if exchange_of(scope).method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _parts(sheet: Sheet) -> AsyncIterator[bytes]:
    """The header with the first rows, then the others."""
    waiting: list[Sequence[Value]] = [sheet.columns]
    async for row in sheet.rows:
        waiting.append(row)
        if len(waiting) >= ROWS_AT_ONCE:
            yield written(waiting)
            waiting = []
    yield written(waiting)
