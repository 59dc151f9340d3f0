"""The server's time: what every process compares and writes, so that a machine with a wrong clock does no harm."""

from __future__ import annotations

from datetime import datetime, timedelta

from promptforge.core.clock import Clock


class ServerClock:
    """This machine's clock, corrected by the offset measured at each heartbeat."""

    def __init__(self, clock: Clock) -> None:
        self.local = clock
        self._offset = timedelta()
        self.measured = False

    def now(self) -> datetime:
        """The server's time, as well as it is known (to about half a round trip)."""
        return self.local.now() + self._offset

    def measure(self, sent: datetime, server: datetime, received: datetime) -> None:
        """The server said `server` between `sent` and `received` of the local clock."""
        self._offset = server - (sent + (received - sent) / 2)
        self.measured = True
