"""A notification as a mail: plain text and HTML, with the headers that let its reader, and their provider, stop it.

What people wrote (titles of listings, notes of moderators) is text in both: escaped in HTML, and in headers one line
without characters that control anything. The same delivery is always the same mail, with the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from promptforge.actors.notifications.deliveries.domain import Delivery
from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.mail.domain import one_line
from promptforge.actors.notifications.mail.links import Links, Subscription
from promptforge.actors.notifications.messages import NotificationView

LONGEST_SUBJECT = 200
_URIS = frozenset({"list-id", "list-unsubscribe"})
_TEMPLATES = Path(__file__).parent / "templates"


class _Policy(EmailPolicy):
    """SMTP's, but never an encoded word where readers look for a URI: nobody decodes one there (RFC 2369, 8058).

    `email` makes one of whatever is too long for a line of 78 characters, which is a recommendation; the limit is 998.
    """

    def fold(self, name: str, value: str) -> str:
        return f"{name}: {value}{self.linesep}" if name.lower() in _URIS else super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii") if name.lower() in _URIS else super().fold_binary(name, value)


_POLICY = _Policy(linesep="\r\n", cte_type="7bit")


@cache
def _template(name: str, *, escaped: bool) -> Template:
    """Compiled once. Only text that is no HTML is not escaped."""
    loader = FileSystemLoader(_TEMPLATES)
    return Environment(loader=loader, autoescape=escaped, undefined=StrictUndefined).get_template(name)  # noqa: S701


@dataclass(frozen=True, slots=True)
class Sender:
    """`address` is what mails come from; `base_url` where this service is reached."""

    address: Address
    base_url: str

    @property
    def domain(self) -> str:
        return self.address.domain


class MailWriter:
    def __init__(self, sender: Sender, links: Links) -> None:
        self._sender = sender
        self._links = links
        self._html = _template("notice.html.j2", escaped=True)
        self._text = _template("notice.txt.j2", escaped=False)

    def write(self, told: NotificationView, delivery: Delivery, to: Address) -> EmailMessage:
        sender, kind = self._sender, kind_of(told.kind)
        token = self._links.token(Subscription(delivery.user_id, told.kind))
        url = f"{sender.base_url}/unsubscribe?token={token}"
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = sender.address
        mail["To"] = to
        mail["Subject"] = one_line(told.title)[:LONGEST_SUBJECT]
        mail["Message-ID"] = f"<{delivery.id}@{sender.domain}>"
        mail["Date"] = format_datetime(delivery.created_at)
        mail["List-Id"] = f"<{told.kind.replace('_', '-')}.notifications.{sender.domain}>"
        mail["List-Unsubscribe"] = f"<{url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        words = {
            "title": one_line(told.title),
            "body": told.body,
            "paragraphs": [part for part in told.body.replace("\r\n", "\n").split("\n\n") if part.strip()],
            "why": f"You get this because it is about your account at PromptForge ({one_line(kind.title)}).",
            "unsubscribe_url": url,
        }
        mail.set_content(self._text.render(words))
        mail.add_alternative(self._html.render(words), subtype="html")
        return mail
