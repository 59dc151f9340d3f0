"""Structured logs: one JSON object a line on standard error, with the ids of the message being handled."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from promptforge.core.context import current_context


def configure_logs(level: str, *, readable: bool = False) -> None:
    """Set up structlog and send the standard library's loggers (Hypercorn, pymongo) through it.

    `readable` prints coloured lines for a person instead of JSON.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [_add_ids, structlog.processors.add_log_level, _add_time]  # Any: they have no common type
    if readable:
        shared[-1] = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
        last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        factory: Any = structlog.PrintLoggerFactory(sys.stderr)
        foreign = last
    else:
        rendered = structlog.processors.format_exc_info
        last = [rendered, structlog.processors.JSONRenderer(serializer=_dumps)]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)  # a line is one write
        foreign = [rendered, structlog.processors.JSONRenderer(serializer=_dumps_text)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_drop_record, *foreign])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _add_ids(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The request id and trace id of the request, or of the message, that the running task handles.

    A line that has them says them itself: looking for them is a third of what the access log costs.
    """
    if "request_id" in event:
        return event
    event = structlog.contextvars.merge_contextvars(logger, method, event)
    context = current_context.get()
    if context is not None:
        event.setdefault("request_id", context.request_id)
        if context.trace_id:
            event.setdefault("trace_id", context.trace_id)
    return event


def _add_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["at"] = datetime.now(UTC)  # orjson writes it faster than Python does
    return event


def _drop_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event


def _dumps(event: EventDict, **_: object) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def _dumps_text(event: EventDict, **_: object) -> str:
    """For the standard library's handler, which writes text."""
    return _dumps(event).decode()
