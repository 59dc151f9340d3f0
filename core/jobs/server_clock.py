"""The server's time: what every process compares and writes, so that a machine with a wrong clock does no harm."""

from __future__ import annotations

from datetime import datetime, timedelta

from promptforge.core.clock import Clock

TOLERATED = timedelta(seconds=2)


class ServerClock:
    """This machine's clock, corrected by the offset measured at each heartbeat.

    A measurement that took long says little, and one that agrees with the offset as it is leaves it. So a machine that
    stood still meanwhile does not put a right clock wrong, and what others have made due is due here too.
    """

    def __init__(self, clock: Clock) -> None:
        self.local = clock
        self._offset = timedelta()
        self._unsure = timedelta()
        self.measured = False

    def now(self) -> datetime:
        """The server's time, as well as it is known (to about half a round trip)."""
        return self.local.now() + self._offset

    def measure(self, sent: datetime, server: datetime, received: datetime) -> None:
        """The server said `server` between `sent` and `received` of the local clock."""
        half = (received - sent) / 2
        offset = server - (sent + half)
        if abs(offset - self._offset) > abs(half):
            self._offset, self._unsure = offset, abs(half)
        self.measured = True

    @property
    def is_off(self) -> bool:
        """Whether the local clock is certainly more than `TOLERATED` away from the server's."""
        return abs(self._offset) - self._unsure > TOLERATED


class DocumentClock:
    """The time that documents are stamped with: this machine's, or the server's where this machine's is wrong.

    Much relies on two processes' stamps being no minutes apart: what is sealed or added up is what is so old that
    nobody can still add to it. A clock that is right is not corrected, because each measurement errs by milliseconds,
    and time would then go back a little now and then.
    """

    def __init__(self, server: ServerClock) -> None:
        self._server = server
        self.monotonic = server.local.monotonic

    def now(self) -> datetime:
        """In whole milliseconds."""
        if not self._server.is_off:
            return self._server.local.now()
        now = self._server.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
