"""Idempotency keys as Stripe keeps them (docs.stripe.com/api/idempotent_requests).

The first answer that an endpoint gave to a key is replayed for a day, errors included; another request with the key is
refused, and one that comes while the first is still under way is told to wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.deploy.sandbox.refusals import Object, key_in_use, key_mismatch

LIFETIME_SECONDS = 24 * 3600
MOST_KEYS = 20_000
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What a key was used for."""

    endpoint: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Object
    request_id: str
    should_retry: bool | None = None


@dataclass(slots=True)
class _Kept:
    asked: Asked
    at: int
    reply: Reply | None = None


class Keys:
    """Keys of different accounts are different keys."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._kept: dict[tuple[str | None, str], _Kept] = {}
        self._most = most

    def begin(self, key: str, asked: Asked, *, account: str | None, now: int) -> Reply | None:
        """The reply to replay, or None: the request goes on, and `end` must follow. Raises `Refused`."""
        there = self._kept.get((account, key))
        if there is not None and now - there.at < LIFETIME_SECONDS:
            if there.asked.endpoint != asked.endpoint:
                raise key_mismatch(key, endpoints=(there.asked.endpoint, asked.endpoint))
            if there.asked != asked:
                raise key_mismatch(key)
            if there.reply is None:
                raise key_in_use(key)
            return there.reply
        self._kept.pop((account, key), None)
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[account, key] = _Kept(asked, now)
        return None

    def end(self, key: str, reply: Reply | None, *, account: str | None) -> None:
        """Keep the reply; None forgets the key, for nothing was begun."""
        if reply is None:
            self._kept.pop((account, key), None)
        elif (there := self._kept.get((account, key))) is not None:
            there.reply = reply
