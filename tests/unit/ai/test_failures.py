"""Providers' errors as problems: by status and code, never in the provider's own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from promptforge.actors.ai.errors import (
    ContextTooLong,
    ModelFailed,
    ModelMisconfigured,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from promptforge.actors.ai.providers.failures import of_status, retry_after
from promptforge.core.errors import PromptForgeError


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ModelRefused), (401, ModelMisconfigured), (402, ModelMisconfigured), (403, ModelMisconfigured),
        (404, ModelMisconfigured), (413, ModelRefused), (422, ModelRefused), (429, ModelRateLimited),
        (500, ModelFailed), (501, ModelFailed), (502, ModelUnavailable), (503, ModelUnavailable),
        (529, ModelUnavailable), (302, ModelFailed),
    ],
)  # fmt: skip
def test_a_status_has_its_problem(status: int, expected: type[PromptForgeError]) -> None:
    assert type(of_status(status, {}, None)) is expected


def test_the_code_comes_through_and_the_words_do_not() -> None:
    body = {"error": {"message": "Bad: the secret text", "code": "invalid_value", "type": "invalid_request_error"}}
    assert of_status(400, {}, body).detail == "The language model refuses this request (invalid_value)"
    body = {"error": {"message": "x", "code": "No Code, but words: the secret text", "type": "sentence with secrets"}}
    assert of_status(401, {}, body).detail == "The provider of the language model answered 401"


@pytest.mark.parametrize(
    "body",
    [
        {"code": "context_length_exceeded", "message": "This model's maximum context length is 8192 tokens"},
        {"error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}},
        {"error": {"type": "exceed_context_size_error"}},
    ],
)
def test_a_text_that_is_too_long_is_told_apart(body: object) -> None:
    assert type(of_status(400, {}, body)) is ContextTooLong


def test_patience_is_read_in_each_of_its_forms() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert 55 < (retry_after({"retry-after": in_a_minute}) or 0) <= 60
    assert retry_after({"retry-after": "999999"}) == 3600
    for nonsense in ("soon", "", "nan", "1e", "Wed, 99 Nov"):
        assert retry_after({"retry-after": nonsense}) is None
    assert retry_after({}) is None
