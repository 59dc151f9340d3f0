"""What a profile may say, and what PATCH does with what was not sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import MISSING, TypeAdapter, ValidationError

from promptforge.actors.users.domain import RESERVED_HANDLES, changes_of, first_display_name, stored_roles
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.errors import Invalid
from promptforge.core.principal import Role

SHAPE: TypeAdapter[UpdateProfile] = TypeAdapter(UpdateProfile)


def test_only_what_was_sent_changes_and_null_clears() -> None:
    assert changes_of(UpdateProfile()) == {}
    sent = SHAPE.validate_json('{"bio": null, "display_name": " Ada ", "links": ["https://a.example/x"]}')
    assert changes_of(sent) == {"bio": None, "display_name": "Ada", "links": ["https://a.example/x"]}
    cleared = SHAPE.validate_json('{"handle": null, "display_name": null, "avatar_url": null, "links": null}')
    assert changes_of(cleared) == {"handle": None, "display_name": None, "avatar_url": None, "links": []}


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "handle": st.none() | st.just("ada-l"),
            "display_name": st.none() | st.just("Ada"),
            "bio": st.none() | st.just("text"),
            "avatar_url": st.none() | st.just("https://a.example/p.png"),
            "links": st.none() | st.just(["https://a.example"]),
        },
    )
)
def test_what_was_not_sent_survives_being_stored_as_a_job(fields: dict[str, Any]) -> None:  # Any: JSON
    message = SHAPE.validate_python(fields)
    stored = SHAPE.dump_python(message, mode="json")
    assert stored == fields
    assert SHAPE.validate_python(stored) == message


def test_a_client_cannot_send_the_mark_for_what_was_not_sent() -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_json('{"links": "MISSING"}')
    assert "MISSING" not in str(SHAPE.json_schema())
    assert SHAPE.validate_json('{"bio": "MISSING"}').bio is not MISSING


@pytest.mark.parametrize("handle", ["ada", "Ada-L", "a_1", "x" * 30, "0-0-0"])
def test_handles_that_can_be_had(handle: str) -> None:
    changes = changes_of(SHAPE.validate_python({"handle": handle}))
    assert changes == {"handle": handle.lower()}


@pytest.mark.parametrize(
    "handle",
    ["", "ab", "x" * 31, "-ada", "ada-", "a--b", "a-_b", "a b", "a.b", "ädä", "ada\n", "a/b", "\uff41\uff44\uff41"],
)
def test_handles_that_nobody_can_have(handle: str) -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"handle": handle})


@pytest.mark.parametrize("handle", ["admin", "ADMIN", "Support", "promptforge-team", "usr_01jd"])
def test_reserved_handles_are_refused_in_any_case(handle: str) -> None:
    with pytest.raises(Invalid) as refused:
        changes_of(UpdateProfile(handle=handle))
    assert refused.value.errors[0].pointer == "/handle"


def test_reserved_handles_are_written_as_they_are_compared() -> None:
    assert all(name == name.lower() for name in RESERVED_HANDLES)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "a\u202eb", "a\u2028b", "x" * 81])
def test_display_names_that_would_break_a_sentence_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"display_name": name})


@pytest.mark.parametrize("name", ["Ada Lovelace", "李小龙", "Zoë 🦊", "O’Neil", "x"])
def test_display_names_of_all_kinds_are_taken(name: str) -> None:
    assert changes_of(SHAPE.validate_python({"display_name": name})) == {"display_name": name}


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example",
        "https://",
        "https:///x",
        "https://user@a.example",
        "https://user:pw@a.example",
        "https://a.example/ x",
        'https://a.example/"x',
        "https://a.example/<x>",
        "https://a.example\\@b.example",
        "javascript:alert(1)",
        "//a.example",
        "https://a.example/\n",
        "https://ä.example",
        "https://a.example/" + "x" * 500,
    ],
)
def test_addresses_that_are_not_plain_https_are_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"avatar_url": address})
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"links": [address]})


@pytest.mark.parametrize(
    "address", ["https://a.example", "https://a.example:8443/p/q?x=1&y=[2]#z", "https://a.example?q"]
)
def test_plain_https_addresses_are_taken(address: str) -> None:
    assert changes_of(SHAPE.validate_python({"avatar_url": address})) == {"avatar_url": address}


def test_a_profile_has_at_most_five_links() -> None:
    SHAPE.validate_python({"links": ["https://a.example"] * 5})
    with pytest.raises(ValidationError):
        SHAPE.validate_python({"links": ["https://a.example"] * 6})


@example(name="\U0002f800")  # NFC makes another character of it
@example(name="\u3164 \ufe0f")
@example(name="Ada\u115f\u2800Lovelace")
@example(name="\u0344" * 80)  # NFC makes it longer
@given(name=st.none() | st.text())
def test_whatever_a_sign_in_says_becomes_a_display_name_that_could_be_typed_in(name: str | None) -> None:
    shown = first_display_name(name)
    if shown is not None:
        assert SHAPE.validate_python({"display_name": shown}).display_name == shown


def test_roles_are_stored_in_one_order_and_everyone_is_a_user() -> None:
    assert stored_roles([Role.MODERATOR, Role.SELLER]) == (Role.USER, Role.SELLER, Role.MODERATOR)
    assert stored_roles([]) == (Role.USER,)
