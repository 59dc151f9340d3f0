"""Errors that only HTTP can have; features never raise them."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.core.errors import Conflict, NotFound, PromptForgeError


class NoSuchPath(NotFound):
    """Nothing is served at this path. A trailing slash is another path, and nobody guesses which was meant."""

    code = "no_such_path"
    title = "Nothing is served at this path"


class MethodNotAllowed(PromptForgeError):
    """The path is served, but not with this method; `allowed` becomes the Allow header (RFC 9110, 10.2.1)."""

    code = "method_not_allowed"
    status = 405
    title = "This path does not know that method"

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"This path answers to {', '.join(self.allowed)}" if self.allowed else None)


class BodyTooSlow(PromptForgeError):
    code = "body_too_slow"
    status = 408
    title = "The body did not arrive in time"
    retryable = True


class BodyTooLarge(PromptForgeError):
    code = "body_too_large"
    status = 413
    title = "The body is larger than this path takes"


class PreconditionFailed(PromptForgeError):
    code = "precondition_failed"
    status = 412
    title = "It is no longer what If-Match says"


class StillRunning(Conflict):
    code = "request_still_running"
    title = "The first request with this Idempotency-Key is still being carried out"
    retryable = True


class KeyReused(PromptForgeError):
    code = "idempotency_key_reused"
    status = 422
    title = "This Idempotency-Key was used for another request: take a fresh one"


class HeadTooLarge(PromptForgeError):
    code = "head_too_large"
    status = 431
    title = "The request line and the headers are larger, or more, than this service takes"


class HeadTooSlow(PromptForgeError):
    code = "head_too_slow"
    status = 408
    title = "The request line and the headers did not arrive in time"
    retryable = True


class TransferCodingUnknown(PromptForgeError):
    """RFC 9112, 6.1: a server answers 501 to a transfer coding that it does not understand."""

    code = "transfer_coding_unknown"
    status = 501
    title = "Of the transfer codings only chunked is understood"


class VersionUnknown(PromptForgeError):
    code = "version_unknown"
    status = 505
    title = "Only HTTP/1.1 and HTTP/1.0 are spoken here"


class TooManyRequests(PromptForgeError):
    code = "rate_limited"
    status = 429
    title = "Too many requests in a short time"
    retryable = True


class RangeNotSatisfiable(PromptForgeError):
    """`size`: how much there is."""

    code = "range_not_satisfiable"
    status = 416
    title = "The file does not have the bytes that were asked for"

    def __init__(self, size: int = 0) -> None:
        super().__init__(f"The file has {size} bytes")
        self.size = size


class UnsupportedMediaType(PromptForgeError):
    code = "unsupported_media_type"
    status = 415
    title = "The body's content type is not one that this path takes"


class UnsupportedContentCoding(UnsupportedMediaType):
    """RFC 9110, 15.5.16: the answer has an Accept-Encoding that says which are taken."""

    code = "unsupported_content_coding"
    title = "Bodies are taken as they are: not compressed, without a Content-Encoding"


class ClientGone(Exception):
    """The client closed the connection before it had its answer: there is nobody to render anything for."""
