"""The certificates of the keys that sign ID tokens, fetched for google-auth and held for as long as Google says.

A key that appears between two fetches is accepted at once: an unknown key id fetches early, at most every
`EARLY_SECONDS`, so made-up key ids cannot make this process hammer Google. A source that is down is asked again every
`RETRY_SECONDS`, whoever waits for it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from promptforge.core.identity.tokens import IdentityUnavailable

GOOGLE_CERTIFICATES = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
TIMEOUT_SECONDS = 5.0
EARLY_SECONDS = 30.0
RETRY_SECONDS = 2.0
SHORTEST_AGE_SECONDS = 60.0
LONGEST_AGE_SECONDS = 24 * 3600.0
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Response:
    """What google-auth reads of a response."""

    data: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Certificates:
    """A `google.auth.transport.Request` that knows one address; used from several threads, it fetches in one."""

    def __init__(self, url: str = GOOGLE_CERTIFICATES, *, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._now = now
        self._lock = threading.Lock()
        self._held = Response(b"{}")
        self._key_ids: frozenset[str] = frozenset()
        self._until = float("-inf")
        self._tried_at = float("-inf")
        self._failed = False

    def __call__(self, url: str, method: str = "GET", **_options: Any) -> Response:  # Any: google-auth's options
        """The certificates by key id, as JSON. Raises `IdentityUnavailable` where there are none that still hold."""
        with self._lock:
            if self._now() >= self._until:
                self._fetch(not_within_seconds=RETRY_SECONDS if self._failed else 0.0)
            return self._held

    def expect(self, key_id: str) -> None:
        """Fetch early where a token names a key that is not held. Raises `IdentityUnavailable` where that fails."""
        with self._lock:
            now = self._now()
            if now >= self._until or key_id in self._key_ids:
                return
            if self._failed or now - self._tried_at >= EARLY_SECONDS:
                self._fetch(not_within_seconds=EARLY_SECONDS)

    def _fetch(self, *, not_within_seconds: float) -> None:
        now = self._now()
        if now - self._tried_at < not_within_seconds:
            raise IdentityUnavailable
        self._tried_at, self._failed = now, True
        try:
            answer = requests.get(self._url, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            certificates = answer.json()
        except requests.RequestException as error:
            raise IdentityUnavailable from error
        if not isinstance(certificates, dict) or not certificates:
            raise IdentityUnavailable
        self._held = Response(answer.content)
        self._key_ids = frozenset(certificates)
        self._until = now + _age_seconds(answer.headers)
        self._failed = False


def _age_seconds(headers: Mapping[str, str]) -> float:
    """How much longer a response may be used (RFC 9111, 5.2.2.1 and 5.1), within reason."""
    allowed = _MAX_AGE.search(headers.get("Cache-Control", ""))
    age = headers.get("Age", "")
    seconds = float(allowed[1]) if allowed else 0.0
    seconds -= float(age) if age.isdecimal() else 0.0
    return min(max(seconds, SHORTEST_AGE_SECONDS), LONGEST_AGE_SECONDS)
