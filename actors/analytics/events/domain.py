"""Which events are taken: how old they may be, and what looks like personal data."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from promptforge.actors.analytics.events.messages import NewEvent
from promptforge.core.errors import FieldError, Invalid

OLDEST = timedelta(days=400)
"""So long events are kept, too."""
AHEAD = timedelta(minutes=5)
"""Clocks differ."""
MOST_TOLD = 50
"""Errors of one batch that are told."""
LONGEST_ADDRESS = 64
"""Of the internet, with a zone's name."""

_EMAIL = re.compile(r"[^\s@]@[^\s@]{1,255}\.[^\s@.]{2,}")
"""One character before the @ says as much as all of them, and where there are many, not each of them is a beginning."""
_PHONE = re.compile(r"\+\d[\d ()/.-]{7,}")
_PERSONAL_NAMES = frozenset(
    {
        *("email", "mail", "phone", "telephone", "mobile", "name", "full_name", "first_name", "last_name", "surname"),
        *("user_name", "username", "address", "street", "birthday", "birth_date", "date_of_birth", "ip", "ip_address"),
        *("ssn", "passport", "iban", "card_number", "user_email", "customer_name", "customer_email", "user_agent"),
    }
)


def check_events(events: Sequence[NewEvent], *, now: datetime) -> None:
    """Raises `Invalid` with what is wrong, each where it stands."""
    errors: list[FieldError] = []
    for number, event in enumerate(events):
        if not now - OLDEST <= event.at <= now + AHEAD:
            detail = f"Events are from the last {OLDEST.days} days, and not from the future"
            errors.append(FieldError(detail, "out_of_range", pointer=f"/events/{number}/at"))
        for place, what in _personal(event):
            errors.append(FieldError(what, "personal_data", pointer=f"/events/{number}/{place}"))
        if len(errors) >= MOST_TOLD:
            break
    if errors:
        raise Invalid("Some events are not right, and none of them was taken", errors=tuple(errors[:MOST_TOLD]))


def _personal(event: NewEvent) -> Iterator[tuple[str, str]]:
    for place in ("external_id", "prompt_id", "variant"):
        if looks_personal(getattr(event, place)):
            yield place, "This looks like personal data, which events must not hold: use an id that says nothing"
    for name, value in event.properties.items():
        if name in _PERSONAL_NAMES and value is not None:
            yield f"properties/{name}", "By its name this is personal data, which events must not hold"
        elif looks_personal(value):
            yield f"properties/{name}", "This looks like personal data, which events must not hold"


def looks_personal(value: object) -> bool:
    """An e-mail address anywhere in it, an international telephone number, or an address of the internet."""
    if not isinstance(value, str) or len(value) < 3:
        return False
    if ("@" in value and _EMAIL.search(value)) or ("+" in value and _PHONE.search(value)):
        return True
    if value.count(".") != 3 and value.count(":") < 2:
        return False
    value = value.strip()
    if len(value) > LONGEST_ADDRESS:  # a long text would be taken apart for nothing
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
