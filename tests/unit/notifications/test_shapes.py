"""Who may send what, and that a notice survives being a job."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.notifications.messages import CountUnread, ListNotifications, MarkAllRead, MarkRead, NotifyUser
from promptforge.core.messages import Access, Message

NOTICE: TypeAdapter[NotifyUser] = TypeAdapter(NotifyUser)
TOLD = {
    "user_id": "usr_1",
    "kind": "listing.sold",
    "title": "Sold: <b>A title</b>",
    "body": "Somebody bought it.\nReally.",
    "subject": {"purchase_id": "pur_1"},
    "dedupe_key": "listing.sold:pur_1",
}


def test_a_notice_survives_being_stored_as_a_job() -> None:
    notice = NOTICE.validate_python(TOLD)
    stored = NOTICE.dump_python(notice, mode="json")
    assert stored == TOLD
    assert NOTICE.validate_python(stored) == notice


@pytest.mark.parametrize("wrong", [{"user_id": ""}, {"title": ""}, {"body": "b" * 4001}, {"dedupe_key": ""}])
def test_a_notice_is_for_somebody_and_says_something(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        NOTICE.validate_python({**TOLD, **wrong})


def test_only_the_service_tells_people_things() -> None:
    assert NotifyUser.requirement is not None
    assert NotifyUser.requirement.access is Access.INTERNAL


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        (ListNotifications, "notifications:read"),
        (CountUnread, "notifications:read"),
        (MarkRead, "notifications:write"),
        (MarkAllRead, "notifications:write"),
    ],
)
def test_reading_needs_less_than_marking(message: type[Message[object]], scope: str) -> None:
    assert message.requirement is not None
    assert message.requirement.scope == scope
    assert message.requirement.while_suspended is (scope == "notifications:write"), "the suspended may read their mail"
