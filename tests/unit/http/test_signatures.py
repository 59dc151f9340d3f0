"""Stripe's signatures: what the SDK takes is taken, and whatever else there is in a header is refused, not an error."""

from __future__ import annotations

import pytest
import stripe

from promptforge.core.errors import PromptForgeError
from promptforge.http.webhooks import WebhookSecrets, verify

SECRET, NOW = "whsec_present", 1_795_000_000
BODY = '{"id": "evt_1", "text": "Straße"}'
GOOD = stripe.WebhookSignature.generate_signature_header(BODY, SECRET, NOW)
V1 = GOOD.partition(",")[2]


def taken_by_the_sdk(header: str, body: str = BODY, secret: str = SECRET) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except (stripe.SignatureVerificationError, ValueError, TypeError, IndexError):
        return False
    return True


def taken(header: str, body: str = BODY, secret: str = SECRET) -> bool:
    try:
        verify(body.encode(), header.encode(), WebhookSecrets((secret,)), now=NOW)
    except PromptForgeError:
        return False
    return True


HEADERS = [
    GOOD,
    f"{GOOD},v1={'0' * 64}",
    f"t={NOW},v1={'0' * 64},{V1}",
    f"t={NOW},v0={'0' * 64},{V1}",
    f"{V1},t={NOW}",
    f"t={NOW},{V1.replace('v1', 'v0')}",
    f"t={NOW},{V1.upper()}",
    f"t={NOW},v1={V1.removeprefix('v1=').upper()}",
    f"t={NOW},{V1[:-1]}",
    f"t={NOW},{V1}0",
    f"t={NOW},{V1}=0",
    f"t={NOW}, {V1}",
    f" t={NOW},{V1}",
    f"t={NOW + 1},{V1}",
    f"t={NOW},t={NOW + 1},{V1}",
    f"t={NOW + 1},t={NOW},{V1}",
    f"t=0{NOW},{V1}",
    f"t=+{NOW},{V1}",
    f"t={NOW}.0,{V1}",
    f"t=,{V1}",
    f"t,{V1}",
    f"v1,t={NOW}",
    f"t={NOW},v1",
    f"t={NOW},v1=",
    f"t={NOW}",
    V1,
    "",
    ",",
    "=",
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_taken_where_the_sdk_takes_it(header: str) -> None:
    assert taken(header) == taken_by_the_sdk(header)


@pytest.mark.parametrize("body", [BODY + " ", BODY[:-1], "", BODY.replace("ß", "ss")])
def test_another_body_is_not_taken(body: str) -> None:
    assert taken(GOOD)
    assert not taken(GOOD, body)
    assert not taken_by_the_sdk(GOOD, body)


def test_another_secret_has_signed_nothing() -> None:
    assert not taken(GOOD, secret="whsec_past")


def test_a_header_that_is_not_ascii_is_not_taken() -> None:
    assert not taken(f"{GOOD},v1=é")
