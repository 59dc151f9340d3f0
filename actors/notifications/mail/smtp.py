"""Handing a mail to the mail server, and what its answer means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from promptforge.core.errors import ConfigurationError
from promptforge.core.tls import authorities

TIMEOUT_SECONDS = 30.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_ENHANCED = re.compile(r"\b5\.(\d{1,3})\.(\d{1,3})\b")
_NO_SUCH_ADDRESS = frozenset({550, 551, 553, 556})


class Outcome(StrEnum):
    """`bounced`: the address takes no mail. `refused`: this mail is not taken. `unavailable`: perhaps later."""

    SENT = "sent"
    BOUNCED = "bounced"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Handed:
    """`code`: what the server said, or what went wrong, without words of anybody's. `server_fails`: with every mail."""

    outcome: Outcome
    code: str
    server_fails: bool = False


class Mailer(Protocol):
    async def hand(self, mail: EmailMessage, *, sender: str, to: str) -> Handed:
        """Never raises for what the server or the network do."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`tls` from the first byte; otherwise STARTTLS is insisted on, unless the server is on this machine."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        return self.host in _LOOPBACK

    @classmethod
    def from_url(cls, url: str) -> SmtpServer:
        """`smtp://user:password@host:587` or `smtps://…`. Raises `ConfigurationError` without repeating the URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigurationError("SMTP_URL cannot be read: smtp://user:password@host:587") from None
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
            raise ConfigurationError("SMTP_URL must be smtp://user:password@host:587 (STARTTLS) or smtps://…")
        tls = parts.scheme == "smtps"
        username, password = parts.username, parts.password
        return cls(
            parts.hostname,
            port or (465 if tls else 587),
            tls,
            unquote(username) if username else None,
            unquote(password) if password else None,
        )


class SmtpMailer:
    """One connection for each mail: they are few, and a connection at rest is one more thing to go wrong."""

    def __init__(self, server: SmtpServer, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._server = server
        self._timeout = timeout_seconds

    async def hand(self, mail: EmailMessage, *, sender: str, to: str) -> Handed:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=None if server.tls or server.local else True,
            username=server.username,
            password=server.password,
            timeout=self._timeout,
            tls_context=None if server.local and not server.tls else authorities("smtp"),
        )
        try:
            async with client:
                await client.sendmail(sender, [to], mail.as_bytes())  # as its policy says; addresses are ASCII
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _of_recipient(error.recipients[0].code, error.recipients[0].message)
        except aiosmtplib.SMTPDataError as error:
            return Handed(Outcome.REFUSED if error.code >= 500 else Outcome.UNAVAILABLE, str(error.code))
        except aiosmtplib.SMTPResponseException as error:
            return Handed(Outcome.UNAVAILABLE, str(error.code), server_fails=True)  # ours to mend: sign-in, sender
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Handed(Outcome.UNAVAILABLE, type(error).__name__, server_fails=True)
        return Handed(Outcome.SENT, "250")


def _of_recipient(code: int, words: str) -> Handed:
    """RFC 3463: 5.1.x and 5.2.1 are about the address; 5.7.x (a policy, a block list) is about us, and no bounce."""
    if code < 500:
        return Handed(Outcome.UNAVAILABLE, str(code))
    enhanced = _ENHANCED.search(words)
    if enhanced is None:
        return Handed(Outcome.BOUNCED if code in _NO_SUCH_ADDRESS else Outcome.REFUSED, str(code))
    about_the_address = enhanced[1] == "1" or (enhanced[1], enhanced[2]) == ("2", "1")
    return Handed(Outcome.BOUNCED if about_the_address else Outcome.REFUSED, f"{code} {enhanced[0]}")
