"""Whatever people write is read by others: no operation takes words that have not been cleaned (core/text.py)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from promptforge.actors.billing.ledger.messages import RejectAdjustment, RequestAdjustment
from promptforge.actors.billing.messages import GrantCredits
from promptforge.actors.billing.payouts.messages import HoldPayout, ReleasePayout
from promptforge.actors.billing.sellers.messages import SellerDetails
from promptforge.actors.users.messages import CreateApiKey, UpdateProfile
from promptforge.http import tables

NO_WORDS = {
    "prompts": "a prompt's own text, which is kept to the letter: content, variables, schemas, tools",
    "datasets": "as prompts",
    "packaging": "as prompts; versions have a grammar of their own",
    "evaluations": "what answers are compared with",
    "ai": "a text to be improved",
    "jobs": "looked up, never shown",
}
"""By the first part of the path."""
OTHERS = {
    "UpdateSettings.notifications": "names of kinds",
    "AddMember.handle": "looked up",
    "CreateReferralCode.code": "has a grammar of its own",
    "FollowReferralLink.code": "looked up",
    "ClaimReferral.tokens": "signed",
    "RecordEvents.events.properties": "read by whoever told of it only, and exported as data",
    "RunListing.variables": "goes to a model",
    "CreatePackageListing.version": "has a grammar of its own",
    "OfferPackageVersion.version": "as above",
    "CreateCheckout.withdrawal_waiver": "compared with a version",
    "CreateSubscription.withdrawal_waiver": "as above",
    "CreateWebhook.kinds": "names of kinds",
    "CreateWebhook.url": "judged as an address",
    "UpdateWebhook.kinds": "names of kinds",
    "UpdateWebhook.url": "judged as an address",
}


def uncleaned(hint: Any, path: str, metadata: tuple[Any, ...] = ()) -> Iterator[str]:  # Any: annotations
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        yield from uncleaned(inner, path, (*metadata, *more))
    elif hint is str:
        if not any(isinstance(item, BeforeValidator) or _has_narrow_pattern(item) for item in metadata):
            yield path
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        for name, inner in get_type_hints(hint, include_extras=True).items():
            yield from uncleaned(inner, f"{path}.{name}")
    else:
        for inner in get_args(hint):
            yield from uncleaned(inner, path)


def _has_narrow_pattern(item: object) -> bool:
    """One that says what may be in it, and not only what may not."""
    patterns = [getattr(one, "pattern", None) for one in item.metadata] if isinstance(item, FieldInfo) else []
    return any(pattern and "[^" not in pattern for pattern in patterns)


def test_words_that_others_read_are_cleaned() -> None:
    found = set()
    for route in tables.routes:
        if route.method == "GET" or route.path.split("/")[1] in NO_WORDS:
            continue
        hints = get_type_hints(route.message, include_extras=True)
        for field in dataclasses.fields(route.message):
            if field.name not in route.parameters and not field.name.endswith("_id"):
                found |= set(uncleaned(hints[field.name], f"{route.message.__name__}.{field.name}"))
    assert found - OTHERS.keys() == set()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        *((message, "reason") for message in (GrantCredits, HoldPayout, ReleasePayout)),
        *((message, "reason") for message in (RequestAdjustment, RejectAdjustment)),
        *((SellerDetails, field) for field in ("name", "street", "postal_code", "city", "trader_email")),
        (UpdateProfile, "bio"),
        (CreateApiKey, "name"),
    ],
)
@pytest.mark.parametrize("words", ["dnuof\u202e@example.com", "a\u2066b@example.com", "a\x1bb@example.com"])
def test_words_do_not_turn_what_stands_around_them(message: type, field: str, words: str) -> None:
    adapter = TypeAdapter(get_type_hints(message, include_extras=True)[field])
    adapter.validate_python("ada@example.com")
    with pytest.raises(ValidationError):
        adapter.validate_python(words)


@pytest.mark.parametrize("message", [GrantCredits, HoldPayout, ReleasePayout, RequestAdjustment, RejectAdjustment])
def test_a_reason_is_not_blank(message: type) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(get_type_hints(message, include_extras=True)["reason"]).validate_python("\u3164 \u200b ")
