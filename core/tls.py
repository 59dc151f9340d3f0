"""Whom this process believes over TLS: the machine's certificate authorities."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Literal


@cache
def authorities(speaking: Literal["http", "smtp"]) -> ssl.SSLContext:
    """One context for all clients of a protocol: to read all certificates takes 20 ms of CPU.

    Not one for all: an HTTP client writes into it what it speaks (ALPN), and a mail server may refuse who speaks that.
    """
    context = ssl.create_default_context()
    if speaking == "http":
        context.set_alpn_protocols(["http/1.1"])
    return context
