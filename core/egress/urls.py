"""Which URLs users may name for requests to them, and the one way in which each is written.

The rules hold for the text. What a name resolves to is checked when the request is made, by `client`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, quote, urlsplit

import idna

from promptforge.core.egress.addresses import is_public

MOST_CHARACTERS = 2000
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_HIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_SAFE = "/?:@!$&'()*+,;=-._~%"


class UrlRefused(ValueError):
    """Says why, in words for whoever named the URL."""


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """`local_hosts` are those that an operator trusts: they may be inner addresses, and may do without TLS."""

    local_hosts: frozenset[str] = frozenset()

    def checked(self, url: str) -> str:
        """The URL with its host in lower case and ASCII. Raises `UrlRefused`."""
        parts = _split(url)
        host = _host_of(parts)
        trusted = host in self.local_hosts
        try:
            port = parts.port
        except ValueError:
            raise UrlRefused("the port is not a number from 1 to 65535") from None
        if not trusted:
            _check_public(parts.scheme, host, port)
        elif parts.scheme not in {"http", "https"}:
            raise UrlRefused("must begin with https://")
        shown = f"[{host}]" if ":" in host else host
        if port is not None:
            shown = f"{shown}:{port}"
        path = quote(parts.path or "/", safe=_SAFE)
        query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
        written = f"{parts.scheme}://{shown}{path}{query}"
        if len(written) > MOST_CHARACTERS:
            raise UrlRefused(f"must not have more than {MOST_CHARACTERS} characters, with what is no ASCII encoded")
        return written

    def trusts(self, host: str) -> bool:
        return host in self.local_hosts


def _split(url: str) -> SplitResult:
    if len(url) > MOST_CHARACTERS:
        raise UrlRefused(f"must not have more than {MOST_CHARACTERS} characters")
    if _HIDDEN.search(url):
        raise UrlRefused("must not contain spaces, backslashes or characters that show nothing")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UrlRefused("is not a URL") from None
    if "@" in parts.netloc:
        raise UrlRefused("must not name a user or a password")
    if "#" in url:
        raise UrlRefused("must not have a fragment (#)")
    return parts


def _host_of(parts: SplitResult) -> str:
    try:
        host = parts.hostname or ""
    except ValueError:
        raise UrlRefused("the host is not readable") from None
    if parts.netloc.startswith("["):
        return _ipv6(host)
    if not host.isascii():
        host = _in_ascii(host)
    host = host.removesuffix(".")
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise UrlRefused("the host is not a name that can be resolved")
    return host


def _in_ascii(host: str) -> str:
    """By the rules that browsers have (UTS 46): full-width digits and dots are what they look like."""
    try:
        return idna.encode(host, uts46=True, transitional=False).decode("ascii").lower()
    except idna.IDNAError:
        raise UrlRefused("the host is not a name that can be resolved") from None


def _ipv6(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        raise UrlRefused("the host is not an IPv6 address") from None
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise UrlRefused("the host must not be an address with a zone")
    return address.compressed


def _check_public(scheme: str, host: str, port: int | None) -> None:
    if scheme != "https":
        raise UrlRefused("must begin with https://")
    if port is not None and port != 443 and port < 1024:
        raise UrlRefused("the port must be 443, or 1024 and above")
    if ":" in host or _is_number(host):
        if not is_public(host):
            raise UrlRefused("the address is not one of the public internet")
    elif "." not in host:
        raise UrlRefused("the host must have its full name, with a dot")


def _is_number(host: str) -> bool:
    """By the rules of browsers: a name whose last part is a number is an IPv4 address, or nothing."""
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
