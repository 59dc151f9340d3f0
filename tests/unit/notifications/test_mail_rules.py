"""Addresses, links, answers of mail servers and their URLs, without sending anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from promptforge.actors.notifications.mail.domain import address_of, one_line
from promptforge.actors.notifications.mail.links import Links, Subscription
from promptforge.actors.notifications.mail.smtp import Outcome, SmtpServer, _of_recipient
from promptforge.core.errors import ConfigurationError
from promptforge.deploy.notifying import mail_of
from promptforge.deploy.settings import Environment, Settings


@given(st.text(max_size=50), st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_nothing_that_was_not_signed_is_a_link(user: str, token: str) -> None:
    links = Links(["one", "two"])
    said = Subscription(user.replace("\n", " "), "listing.sold")
    made = links.token(said)
    assert links.read(made) == said
    assert links.read(token) is None
    assert Links(["three"]).read(made) is None
    assert Links(["new", "one"]).read(made) == said, "links stay good when the key is rotated"


@given(st.text(max_size=300))
@settings(max_examples=50, deadline=None)
def test_a_subject_is_one_line_whatever_was_written(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert line == line.strip()


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ada@Example.com", "ada@example.com"),
        ("a.b+c@sub.example.com", "a.b+c@sub.example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("", None),
        (None, None),
        ("@example.com", None),
        ("ada@", None),
        ("ada@localhost", None),
        ("ada@127.0.0.1", None),
        ("ada@[127.0.0.1]", None),
        ('"a b"@example.com', None),
        ("ada@example.com\n", None),
        ("ada\r\n@example.com", None),
        ("a" * 65 + "@example.com", None),
        ("ada@exa_mple.com", None),
        ("ädа@example.com", None),
        ("<ada@example.com>", None),
        ("ada@example.com,eve@example.com", None),
    ],
)
def test_only_ordinary_addresses_are_written_to(email: str | None, shown: str | None) -> None:
    address = address_of(email, "Ada")
    assert (address.addr_spec if address is not None else None) == shown


@pytest.mark.parametrize(
    ("code", "words", "outcome"),
    [
        (550, "5.1.1 User unknown", Outcome.BOUNCED),
        (550, "No such user", Outcome.BOUNCED),
        (553, "Mailbox name not allowed", Outcome.BOUNCED),
        (550, "5.2.1 Disabled", Outcome.BOUNCED),
        (552, "5.2.2 Full", Outcome.REFUSED),
        (552, "Full", Outcome.REFUSED),
        (550, "5.7.1 Blocked: see https://example.com/5.1.1", Outcome.REFUSED),
        (554, "5.7.1 Spam", Outcome.REFUSED),
        (450, "4.2.0 Greylisted", Outcome.UNAVAILABLE),
        (421, "4.7.0 Slow down", Outcome.UNAVAILABLE),
    ],
)
def test_an_address_is_given_up_only_for_what_is_about_the_address(code: int, words: str, outcome: Outcome) -> None:
    assert _of_recipient(code, words).outcome is outcome


def test_a_server_is_read_from_its_url() -> None:
    server = SmtpServer.from_url("smtp://me%40x:p%2Fw@mail.example.com")
    assert (server.host, server.port, server.tls) == ("mail.example.com", 587, False)
    assert (server.username, server.password, server.local) == ("me@x", "p/w", False)
    assert "p/w" not in repr(server)
    assert SmtpServer.from_url("smtps://mail.example.com").port == 465
    for wrong in (
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://h:x",
        "smtp://h/path",
        "smtp://p:w@h?tls=no",
    ):
        with pytest.raises(ConfigurationError) as refused:
            SmtpServer.from_url(wrong)
        assert "p:w" not in str(refused.value)


def test_whom_mails_are_from_is_said_or_found() -> None:
    url = SecretStr("smtp://mail.example.com")
    assert mail_of(Settings(smtp_url=url), "https://forge.example")[1].address.addr_spec == "no-reply@forge.example"
    named = Settings(mail_from="The Forge <hello@forge.example>", smtp_url=url)
    sender = mail_of(named, "http://127.0.0.1:8000")[1]
    assert str(sender.address) == "The Forge <hello@forge.example>"
    for base in ("http://127.0.0.1:8000", "http://localhost:8000"):
        assert mail_of(Settings(smtp_url=url), base)[1].address.addr_spec == "no-reply@localhost"
        with pytest.raises(ConfigurationError, match="MAIL_FROM"):
            mail_of(Settings(smtp_url=url, environment=Environment.PRODUCTION), base)
        assert mail_of(Settings(), base)[0] is None
    with pytest.raises(ConfigurationError, match="MAIL_FROM"):
        mail_of(Settings(smtp_url=url, mail_from="nobody"), "https://forge.example")
