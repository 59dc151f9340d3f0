"""Stripe's errors: what a request is refused with, in the shapes and with the codes that the API documents.

`stored`: whether the endpoint had begun to execute. Such an answer is kept with the idempotency key and replayed; that
of a request that was not understood is not (docs.stripe.com/api/idempotent_requests).
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]  # Any: JSON, as Stripe's objects are


class Refused(Exception):
    """`more`: further fields of the error, such as the PaymentIntent that failed."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        stored: bool = False,
        should_retry: bool | None = None,
        more: Object | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        self.should_retry = should_retry
        self._error: Object = {"message": message, "type": kind, **(more or {})}
        if code is not None:
            self._error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param is not None:
            self._error["param"] = param

    def body(self, request_log_url: str) -> Object:
        return {"error": {**self._error, "request_log_url": request_log_url}}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """The request was not understood: nothing was begun."""
    return Refused(400, "invalid_request_error", message, code=code, param=param)


def declined_by_rule(message: str, *, code: str | None = None, param: str | None = None) -> Refused:
    """The request was understood, and what it wants cannot be done now: the answer is kept with its key."""
    return Refused(400, "invalid_request_error", message, code=code, param=param, stored=True)


def no_such(what: str, identifier: str, *, param: str = "id") -> Refused:
    """An object in the path is 404, one in a parameter is 400."""
    status = 404 if param == "id" else 400
    message = f"No such {what}: '{identifier}'"
    return Refused(status, "invalid_request_error", message, code="resource_missing", param=param)


def card_declined(
    message: str, decline_code: str, *, code: str = "card_declined", more: Object | None = None
) -> Refused:
    return Refused(
        402, "card_error", message, code=code, stored=True, more={"decline_code": decline_code, **(more or {})}
    )


def rate_limited() -> Refused:
    message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    return Refused(429, "invalid_request_error", message, code="rate_limit")


def server_error() -> Refused:
    message = "An unknown error occurred. (This one was asked for: it is a sandbox.)"
    return Refused(500, "api_error", message, stored=True, should_retry=False)


def lock_timeout() -> Refused:
    message = "This object cannot be accessed right now because another API request or Stripe process is accessing it."
    return Refused(409, "invalid_request_error", message, code="lock_timeout", should_retry=True)


def key_in_use(key: str) -> Refused:
    message = (
        f"There is currently another in-progress request using this Idempotent Key: {key}. "
        "Please try again later, when the first request has finished."
    )
    return Refused(409, "idempotency_error", message, code="idempotency_key_in_use", should_retry=True)


def key_mismatch(key: str, *, endpoints: tuple[str, str] | None = None) -> Refused:
    """`endpoints`: what the key was first used for and what it is used for now, where these differ."""
    for_what = "with the same parameters they were first used with"
    if endpoints is not None:
        for_what = f"for the same endpoint they were first used for ('{endpoints[0]}' vs '{endpoints[1]}')"
    message = (
        f"Keys for idempotent requests can only be used {for_what}. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return Refused(400, "idempotency_error", message)


def bad_key(shown: str | None) -> Refused:
    if shown is None:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        return Refused(401, "invalid_request_error", message)
    return Refused(401, "invalid_request_error", f"Invalid API Key provided: {_masked(shown)}")


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 12}{key[-4:]}" if len(key) > 16 else "*" * len(key)
