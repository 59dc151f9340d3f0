"""A provider's failures as the problems that this service tells: by status and error code, never in its own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from promptforge.actors.ai.errors import (
    ContextTooLong,
    ModelFailed,
    ModelMisconfigured,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)
from promptforge.core.errors import PromptForgeError

DEFAULT_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 3600.0
_REFUSALS = frozenset({400, 405, 413, 415, 422})
_MISCONFIGURED = frozenset({401, 402, 403, 404})
_AWAY = frozenset({408, 409, 425, 502, 503, 504, 529})  # 529: Anthropic's "overloaded"
_TOO_LONG = re.compile(
    r"context[_ ]length|context (size|window)|exceed_context|maximum context|prompt is too long|too many tokens",
    re.IGNORECASE,
)
_CODE = re.compile(r"[a-z][a-z0-9_]{2,60}")


@contextmanager
def translated(sdk: Any) -> Iterator[None]:  # Any: the module openai, or anthropic: they have the same errors
    """What the SDK raises, as ours, and not chained: its errors quote the request, which must not get into logs."""
    import httpx2  # noqa: PLC0415  # comes with the SDKs, which are imported when first used

    try:
        yield
    except sdk.APITimeoutError:
        raise ModelTimeout from None
    except sdk.APIConnectionError:
        raise ModelUnavailable("The language model cannot be reached") from None
    except sdk.APIStatusError as error:
        raise of_status(error.status_code, error.response.headers, error.body) from None
    except httpx2.TimeoutException:
        raise ModelTimeout from None
    except (sdk.APIError, httpx2.HTTPError):
        raise ModelFailed("The language model's answer broke off") from None
    except (ValueError, TypeError, AttributeError, LookupError):  # an answer that is no JSON, or of another shape
        raise ModelFailed("The language model's answer could not be read") from None


def of_status(status: int, headers: Mapping[str, str], body: object) -> PromptForgeError:
    """The problem that an error response is."""
    if status == 429:
        return ModelRateLimited(retry_after_seconds=retry_after(headers) or DEFAULT_RETRY_SECONDS)
    if status in _AWAY:
        return ModelUnavailable(retry_after_seconds=retry_after(headers) or 1.0)
    if status in _MISCONFIGURED:
        return ModelMisconfigured(f"The provider of the language model answered {status}{_told(body)}")
    if status in _REFUSALS:
        return refusal(body)
    return ModelFailed(f"The provider of the language model answered {status}")


def refusal(body: object) -> ModelRefused:
    """What a request was refused for; `body` is the provider's, and only its code is passed on."""
    if _TOO_LONG.search(str(body)):
        return ContextTooLong()
    return ModelRefused(f"The language model refuses this request{_told(body)}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of Retry-After (RFC 9110, 10.2.3) or the milliseconds that OpenAI sends beside it."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (value := headers.get("retry-after")) is None:
            return None
        else:
            seconds = float(value) if value.strip()[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_SECONDS) if seconds == seconds else None  # noqa: PLR0124  # NaN


def _told(body: object) -> str:
    """The error's code, where it looks like one."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(inner, dict):
        for name in ("code", "type"):
            if isinstance(code := inner.get(name), str) and _CODE.fullmatch(code):
                return f" ({code})"
    return ""
