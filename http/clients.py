"""Whose request it is, by address: the peer's, or what the proxies in front of this process say it was.

Each proxy appends the address it was called from to X-Forwarded-For, so with `n` trusted proxies the n-th entry
from the right was written by one of them; everything left of it can be made up by the caller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_IPV6_NETWORK_BITS = 64


def client_address(scope: Mapping[str, Any], trusted_proxies: int) -> str | None:
    """The address of who sent the request; the peer's where the header does not hold what the proxies would write."""
    peer: tuple[str, int] | None = scope.get("client")
    address = peer[0] if peer else None
    if not trusted_proxies:
        return address
    entries = [
        entry.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for entry in value.decode("latin-1").split(",")
    ]
    if len(entries) < trusted_proxies:
        return address
    return _address(entries[-trusted_proxies]) or address


def _address(entry: str) -> str | None:
    """An entry as an address: some proxies write the port too (`192.0.2.1:1234`, `[2001:db8::1]:1234`)."""
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def subscriber(address: str) -> str:
    """What one subscriber has: an IPv4 address, or the /64 that an IPv6 network is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if (mapped := parsed.ipv4_mapped) is not None:
        return str(mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
