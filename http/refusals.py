"""Answers to what never became a request: no application has seen it, and the connection ends with the answer.

They look like every other problem of the edge, and have a line in the log as requests have one.
"""

from __future__ import annotations

import structlog

from promptforge.core.errors import MailboxFull, Malformed, PromptForgeError
from promptforge.http.errors import HeadTooLarge, HeadTooSlow, TransferCodingUnknown, VersionUnknown
from promptforge.http.problems import Problem, render
from promptforge.http.request_ids import new_request_id, trace_id_from
from promptforge.http.security_headers import add_unless_set, always

log = structlog.get_logger(__name__)

_ERRORS: dict[int, PromptForgeError] = {
    400: Malformed(
        "This is not an HTTP/1.1 request, or one that two readers could understand differently, or its body comes in "
        "chunks that are too small"
    ),
    408: HeadTooSlow(),
    431: HeadTooLarge(),
    501: TransferCodingUnknown(),
    503: MailboxFull("Too many connections are open"),
    505: VersionUnknown(),
}


class Refusals:
    """`https_only`: browsers are told so, as with every other answer."""

    def __init__(self, *, https_only: bool = False) -> None:
        self._always = always(https_only=https_only)

    def make(self, status: int, *, client: tuple[str, int] | None) -> Problem:
        """The problem for one of the statuses above; what else there may be is a 400."""
        error = _ERRORS.get(status, _ERRORS[400])
        request_id = new_request_id()
        log.info("http.refused", status=error.status, client=client[0] if client else None, request_id=request_id)
        problem = render(error, request_id, trace_id_from(None))
        headers = [
            *problem.headers,
            (b"x-request-id", request_id.encode("ascii")),
            (b"connection", b"close"),
            *self._always,
        ]
        add_unless_set(headers)
        return Problem(problem.status, headers, problem.body)
