"""The one root of every error this service raises on purpose.

An error carries what the edge needs to answer with: a stable `code` that programs match on, an HTTP `status`, whether
trying the same thing again can help (`retryable`), and a sentence for people. Features subclass these in their own
`errors.py`; the HTTP edge renders all of them as RFC 9457 problem documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


class PromptForgeError(Exception):
    """Root error. `detail` is shown to the caller: it says what happened and what to do, and holds no secret."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        self.detail = detail if detail is not None else self.title
        self.retry_after_seconds = retry_after_seconds
        self.extra: Mapping[str, object] = extra or {}
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid input: `pointer` is an RFC 6901 JSON pointer into the body, `parameter` a path or query part."""

    detail: str
    code: str
    pointer: str | None = None
    parameter: str | None = None


class Invalid(PromptForgeError):
    """The input does not have the declared shape; `errors` lists every bad field."""

    code = "invalid_request"
    status = 422
    title = "Some fields are not valid"

    def __init__(self, detail: str | None = None, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


class Malformed(PromptForgeError):
    """The request could not even be read (bad JSON, bad encoding, bad header)."""

    code = "malformed_request"
    status = 400
    title = "The request could not be read"


class Moved(PromptForgeError):
    """What is asked for is called otherwise now: the last segment of its path is `location`."""

    code = "moved"
    status = 308
    title = "This is found under another name now"

    def __init__(self, detail: str | None = None, *, location: str = "") -> None:
        super().__init__(detail)
        self.location = location


class Unauthenticated(PromptForgeError):
    code = "unauthenticated"
    status = 401
    title = "Sign in first"


class Forbidden(PromptForgeError):
    code = "forbidden"
    status = 403
    title = "Your account may not do this"


class NotFound(PromptForgeError):
    """Also the answer for another user's private object, so that its existence does not show."""

    code = "not_found"
    status = 404
    title = "There is no such thing, or it is not yours"


class Conflict(PromptForgeError):
    """The request is well-formed, but the present state does not allow it."""

    code = "conflict"
    status = 409
    title = "The present state does not allow this"


class Unavailable(PromptForgeError):
    """A dependency (or this process) cannot answer now; nothing is known to be wrong with the request."""

    code = "unavailable"
    status = 503
    title = "The service cannot answer just now"
    retryable = True

    def __init__(self, detail: str | None = None, *, retry_after_seconds: float | None = 1.0) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)


class DatabaseUnavailable(Unavailable):
    """MongoDB did not answer in time, or has no primary. Degraded, never a reason to restart an actor."""

    code = "database_unavailable"
    title = "The database does not answer just now"


class OutcomeUnknown(PromptForgeError):
    """A write was sent and its result never came back: it may or may not have happened."""

    code = "outcome_unknown"
    status = 503
    title = "It is not known whether this was done: look before you try again"


DATABASE_AWAY = (Unavailable, OutcomeUnknown)
"""What a loop that only has to go on waits out, whether or not its last write happened."""


class ConfigurationError(PromptForgeError):
    """The process cannot start with these settings; `detail` is the one line an operator needs."""

    code = "configuration_error"
    title = "The configuration is not usable"


class MailboxFull(Unavailable):
    """A bounded queue has no room; nothing was started."""

    code = "overloaded"
    title = "Too much is waiting already; try again shortly"


class DeadlineExceeded(Unavailable):
    """The answer did not come before the request's deadline. A command that had started still finishes."""

    code = "deadline_exceeded"
    title = "The answer did not come in time"


class Stopping(Unavailable):
    """The process (or the actor) is stopping or restarting and takes no new work."""

    code = "stopping"
    title = "This process is stopping; another one, or this one again, answers shortly"


class AccountSuspended(Forbidden):
    code = "account_suspended"
    title = "Your account is suspended: you can look, but not change anything"


class AccountClosed(Forbidden):
    code = "account_closed"
    title = "The account is closed"


class ScopeMissing(Forbidden):
    code = "scope_missing"
    title = "This API key does not have the scope this needs"
