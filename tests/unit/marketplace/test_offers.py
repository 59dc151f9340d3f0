"""What a listing may say and cost, and which of its reads need which rights."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import MISSING, TypeAdapter, ValidationError

from promptforge.actors.marketplace import messages
from promptforge.actors.marketplace.messages import CreateListing, PurchaseListing, UpdateListing
from promptforge.core.amounts import to_millicredits
from promptforge.core.messages import Access, Message
from promptforge.core.principal import Role

CREATE: TypeAdapter[CreateListing] = TypeAdapter(CreateListing)
UPDATE: TypeAdapter[UpdateListing] = TypeAdapter(UpdateListing)
PURCHASE: TypeAdapter[PurchaseListing] = TypeAdapter(PurchaseListing)
OFFER: dict[str, object] = {
    "prompt_id": "prm_1",
    "version": 1,
    "title": "A title",
    "summary": "A summary",
    "description": "A description",
    "category": "writing",
    "price": "10",
}


def locations(refused: pytest.ExceptionInfo[ValidationError]) -> set[object]:
    return {error["loc"][0] for error in refused.value.errors()}


def test_texts_are_trimmed_and_composed() -> None:
    made = CREATE.validate_python(
        {**OFFER, "title": "  Re\u0301sume\u0301  ", "description": " one\r\n\ttwo \n", "tags": [" a "]}
    )
    assert (made.title, made.description, made.tags) == ("R\u00e9sum\u00e9", "one\n\ttwo", ("a",))


@pytest.mark.parametrize("field", ["title", "summary", "description"])
@pytest.mark.parametrize(
    "text", ["", "ab", "  a  ", "abc\u202edef", "abc\u200bdef", "abc\x1b[31m", "abc\ud800", 5, None]
)
def test_texts_that_mislead_or_say_too_little_are_refused(field: str, text: object) -> None:
    with pytest.raises(ValidationError) as refused:
        CREATE.validate_python({**OFFER, field: text})
    assert locations(refused) == {field}


def test_only_the_description_has_lines() -> None:
    assert CREATE.validate_python({**OFFER, "description": "one\ntwo"}).description == "one\ntwo"
    for field in ("title", "summary"):
        with pytest.raises(ValidationError):
            CREATE.validate_python({**OFFER, field: "one\ntwo"})


@pytest.mark.parametrize("samples", [["one"] * 6, [""], ["a" * 4001], ["abc\u202edef"], "one"])
def test_samples_are_few_and_bounded(samples: object) -> None:
    with pytest.raises(ValidationError) as refused:
        CREATE.validate_python({**OFFER, "samples": samples})
    assert locations(refused) == {"samples"}
    assert CREATE.validate_python({**OFFER, "samples": [" a\nb "]}).samples == ("a\nb",)


def test_markup_is_kept_as_the_text_it_is() -> None:
    text = "<img src=x onerror=alert(1)> & {{price}}"
    assert CREATE.validate_python({**OFFER, "title": text}).title == text


def test_a_title_stays_within_what_a_notice_about_it_may_hold() -> None:
    with pytest.raises(ValidationError):
        CREATE.validate_python({**OFFER, "title": "\ufb2c" * 120})  # composed, it would be three times as long


@pytest.mark.parametrize(
    ("price", "millicredits"), [("0", 0), ("0.001", 1), ("12.5", 12_500), ("999999999.999", 10**12 - 1)]
)
def test_prices_that_can_be_asked(price: str, millicredits: int) -> None:
    assert to_millicredits(CREATE.validate_python({**OFFER, "price": price}).price) == millicredits


@pytest.mark.parametrize(
    "price",
    [
        "-1",
        "-0",
        "1000000000",
        "1.0001",
        "1e3",
        "01",
        "1.",
        ".5",
        "",
        " 1",
        "NaN",
        "Infinity",
        "1,5",
        "\u0661",
        1,
        1.5,
        None,
    ],
)
def test_prices_that_cannot(price: object) -> None:
    for adapter, message in (
        (CREATE, {**OFFER, "price": price}),
        (UPDATE, {"listing_id": "l", "price": price}),
        (PURCHASE, {"listing_id": "l", "expected_price": price}),
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(message)


def test_only_the_licences_that_exist_are_taken() -> None:
    with pytest.raises(ValidationError) as refused:
        CREATE.validate_python({**OFFER, "licence": "rent"})
    assert "Input should be 'source' or 'runs'" in str(refused.value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        CREATE.validate_python(
            {**OFFER, "title": "", "category": "weapons", "price": "-1", "tags": ["t"] * 11, "version": 0}
        )
    assert locations(refused) == {"title", "category", "price", "tags", "version"}


def test_what_is_not_sent_does_not_change_and_nothing_can_be_cleared() -> None:
    sent = UPDATE.validate_python({"listing_id": "l", "title": "New title"})
    assert sent.revision is None
    assert {sent.summary, sent.description, sent.category, sent.tags, sent.price, sent.version} == {MISSING}
    for field in ("title", "summary", "description", "category", "tags", "price", "version"):
        with pytest.raises(ValidationError):
            UPDATE.validate_python({"listing_id": "l", field: None})


REFUNDING = {"RefundPurchase", "RevokePurchase"}
"""Asked by what decides on refunds, and by billing where a payment was taken back."""


def test_every_message_says_who_may_send_it() -> None:
    declared: list[type[Message[Any]]] = [  # Any: whatever they answer
        one
        for one in vars(messages).values()
        if isinstance(one, type) and issubclass(one, Message) and one.__module__ == messages.__name__
    ]
    by_access: dict[Access, set[str]] = {access: set() for access in Access}
    for message in declared:
        assert message.requirement is not None, message
        assert message.__doc__
        by_access[message.requirement.access].add(message.__name__)
    assert by_access[Access.PUBLIC] == {"GetListing"}
    assert by_access[Access.INTERNAL] == {
        "GetListingForReview",
        "ApplyDecision",
        "FindPurchasedSource",
        "UsePurchasedSource",
        "HasOffered",
        *REFUNDING,
    }
    sellers = {one.__name__ for one in declared if one.requirement and one.requirement.roles == {Role.SELLER}}
    buyers = {one.__name__ for one in declared if one.requirement and one.requirement.roles == {Role.USER}}
    assert buyers == {"PurchaseListing", "ListPurchases", "GetPurchase", "ListMyListings", "ListSales"}
    assert sellers | buyers == by_access[Access.SIGNED_IN]
    assert PurchaseListing.requirement is not None
    assert PurchaseListing.requirement.fresh, "money checks revocation at once"
