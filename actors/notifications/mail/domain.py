"""Addresses that mail can go to, and when it is tried again."""

from __future__ import annotations

import re
import unicodedata
from email.headerregistry import Address

import idna

DELAYS_SECONDS = (30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200)
"""After the first failure, the second, and so on: together 22.7 hours."""
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


def address_of(email: str | None, name: str | None) -> Address | None:
    """None where mail cannot go to it: there is none, or it is not of the ordinary form (RFC 5321, 4.1.2, unquoted)."""
    local, _, domain = (email or "").rpartition("@")
    try:
        domain = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return None
    if not _LOCAL.fullmatch(local) or len(local) > 64 or len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        return None
    return Address(display_name=one_line(name or ""), username=local, domain=domain)


def one_line(text: str) -> str:
    """Without line breaks and other characters that show nothing or change how the rest is shown."""
    visible = "".join(char if unicodedata.category(char)[0] not in "CZ" else " " for char in text)
    return " ".join(visible.split())
