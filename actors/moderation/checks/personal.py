"""Personal data that stands in a text: addresses, telephone, card and account numbers, by their check digits.

Numbers and addresses that are reserved for examples are none of anybody. A finding quotes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
from stdnum import iban, luhn

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.checks.passages import Passage

_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4})")
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$", re.IGNORECASE)
"""RFC 2606: nobody's."""
_CARD = re.compile(r"(?<![0-9A-Za-z])(?:[0-9][ -]?){12,18}[0-9](?![0-9A-Za-z])")
_ISSUERS = re.compile(r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|(?:6011|64[4-9]|65|35)\d{12,15}")
"""How the large issuers' numbers begin, and how long they are."""
_TEST_CARDS = frozenset({"4242424242424242", "4111111111111111", "5555555555554444", "378282246310005"})
"""Of the providers' documentation."""
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_MOST_NUMBERS = 50
_KINDS = {
    "iban": (Severity.HIGH, "A bank account (IBAN) with right check digits"),
    "card_number": (Severity.HIGH, "A card number with a right check digit"),
    "email": (Severity.MEDIUM, "An e-mail address"),
    "phone_number": (Severity.MEDIUM, "A telephone number"),
}


def find_personal_data(passage: Passage) -> Iterator[Finding]:
    """Each place once; a card's digits are no telephone number."""
    taken: list[tuple[int, int]] = []
    for kind, (start, end) in _places(passage.text):
        if _is_free((start, end), taken):
            taken.append((start, end))
            severity, detail = _KINDS[kind]
            yield Finding(Check.PERSONAL_DATA, severity, kind, detail, passage.where(start))


def _places(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """What is certain comes first."""
    for match in _IBAN.finditer(text):
        account = _account(match[0])
        if account:
            yield "iban", (match.start(), match.start() + len(account))
    for match in _CARD.finditer(text):
        if _is_card(re.sub(r"[ -]", "", match[0])):
            yield "card_number", match.span()
    for match in _EMAIL.finditer(text):
        if not _RESERVED.search(match[1]):
            yield "email", match.span()
    # Those written internationally: without a country any number could be one.
    for found in phonenumbers.PhoneNumberMatcher(text, None, max_tries=_MOST_NUMBERS):
        yield "phone_number", (found.start, found.end)


def _account(text: str) -> str:
    """The account number that the text begins with: words in capitals may follow it. Empty where there is none."""
    while text and not iban.is_valid(text):
        text, _, _ = text.rpartition(" ")
    return text


def _is_card(digits: str) -> bool:
    return digits not in _TEST_CARDS and bool(_ISSUERS.fullmatch(digits)) and bool(luhn.is_valid(digits))


def _is_free(span: tuple[int, int], taken: list[tuple[int, int]]) -> bool:
    return all(span[1] <= start or end <= span[0] for start, end in taken)
