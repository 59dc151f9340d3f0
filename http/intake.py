"""Bodies of senders whom only the body itself can vouch for: how much of them is held while they are read.

Where they become too many, the one that has been read longest is given up, of its address or of all. A genuine body is
there in milliseconds, so strangers who fill the room push out each other, wherever they and the genuine come from.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import Message, Receive

from promptforge.core.errors import MailboxFull, PromptForgeError
from promptforge.http.body import BodyLimits, read_body
from promptforge.http.clients import subscriber
from promptforge.http.errors import TooManyRequests
from promptforge.http.exchange import Exchange

MOST_BYTES = 16 * 1024 * 1024
MOST_BYTES_OF_ONE = 4 * 1024 * 1024


class _Reading:
    """One body under way; `refused`: why it was given up."""

    __slots__ = ("address", "held_bytes", "refused", "timeout")

    def __init__(self, address: str, timeout: asyncio.Timeout) -> None:
        self.address = address
        self.timeout = timeout
        self.held_bytes = 0
        self.refused: PromptForgeError | None = None


class Intake:
    """`most_bytes` at once in all, `most_bytes_of_one` address."""

    def __init__(self, *, most_bytes: int = MOST_BYTES, most_bytes_of_one: int = MOST_BYTES_OF_ONE) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_one = most_bytes_of_one
        self._readings: dict[_Reading, None] = {}  # the longest first
        self._of: dict[str, dict[_Reading, None]] = {}
        self._held: Counter[str] = Counter()
        self._held_bytes = 0

    async def read(self, exchange: Exchange, receive: Receive, limits: BodyLimits) -> bytes:
        """As `read_body`; raises `MailboxFull` or `TooManyRequests` too, where others need the room."""
        timeout = asyncio.timeout(None)
        reading = _Reading(subscriber(exchange.client or ""), timeout)

        async def receive_counted() -> Message:
            message = await receive()
            self._hold(reading, len(message.get("body", b"")))
            return message

        self._readings[reading] = None
        self._of.setdefault(reading.address, {})[reading] = None
        try:
            async with timeout:
                return await read_body(exchange, receive_counted, limits)
        except TimeoutError:
            raise reading.refused or MailboxFull() from None
        finally:
            self._let_go(reading)

    def _hold(self, reading: _Reading, size: int) -> None:
        if reading not in self._readings:  # given up, and not yet told
            return
        reading.held_bytes += size
        self._held[reading.address] += size
        self._held_bytes += size
        while self._held[reading.address] > self._most_bytes_of_one:
            error = TooManyRequests("Too much is being sent from this address at once", retry_after_seconds=1)
            self._give_up(next(iter(self._of[reading.address])), error)
        while self._held_bytes > self._most_bytes:
            self._give_up(next(iter(self._readings)), MailboxFull("Too much is being sent at once"))

    def _give_up(self, reading: _Reading, error: PromptForgeError) -> None:
        reading.refused = error
        self._let_go(reading)
        reading.timeout.reschedule(asyncio.get_running_loop().time())

    def _let_go(self, reading: _Reading) -> None:
        if reading not in self._readings:
            return
        del self._readings[reading]
        self._held_bytes -= reading.held_bytes
        self._held[reading.address] -= reading.held_bytes
        del self._of[reading.address][reading]
        if not self._of[reading.address]:
            del self._of[reading.address], self._held[reading.address]
