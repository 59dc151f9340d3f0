"""Cron: each tick is fired once, by whichever process gets there first. There is no leader.

A tick's job has the id `cron:{name}:{tick}`, so a second process that fires it finds it there. How far the ticks were
seen to is kept, so that a job that was removed since is not fired again, and so that missed ticks are noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from cronsim import CronSim, CronSimError

from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, ConfigurationError, NotFound, PromptForgeError
from promptforge.core.jobs.documents import SCHEDULES
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.messages import Message
from promptforge.core.mongo import Document, DuplicateKey, Mongo

ON_TIME = timedelta(seconds=60)
"""A tick that is noticed no later than this was not missed."""
MOST_MISSED = 100
BROKEN_RETRY = timedelta(seconds=10)

log = structlog.get_logger(__name__)


class BrokenSchedule(PromptForgeError):
    """The schedule's own code failed for a tick."""

    code = "broken_schedule"


class Missed(StrEnum):
    """What to do about ticks that passed while no process ran."""

    SKIP = "skip"
    LATEST = "latest"
    """Fire the last one of them."""
    ALL = "all"
    """Fire each, at most 100."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cron` in five fields (or `@daily` …), read in the time zone `zone`, with Debian's cron's rules for the nights
    when clocks change. `message` makes the job's message for a tick.
    """

    name: str
    cron: str
    message: Callable[[datetime], Message[Any]]
    zone: str = "UTC"
    missed: Missed = Missed.LATEST

    def __post_init__(self) -> None:
        try:
            CronSim(self.cron, datetime.now(ZoneInfo(self.zone)))
        except (CronSimError, ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigurationError(f"schedule {self.name} cannot be read: {error}") from None

    def ticks_after(self, moment: datetime) -> Iterable[datetime]:
        """Every tick after `moment`, in UTC, without end (or until the cron expression never matches again)."""
        for tick in CronSim(self.cron, moment.astimezone(ZoneInfo(self.zone))):
            if tick > moment:  # in the hour that comes twice it begins with the first
                yield tick.astimezone(UTC)

    def ticks_back_from(self, moment: datetime) -> Iterable[datetime]:
        """Every tick up to and including `moment`, newest first, in UTC."""
        start = (moment + timedelta(minutes=1)).astimezone(ZoneInfo(self.zone))
        for tick in CronSim(self.cron, start, reverse=True):
            if tick <= moment:
                yield tick.astimezone(UTC)

    def next_after(self, moment: datetime) -> datetime | None:
        return next(iter(self.ticks_after(moment)), None)


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule as it stands. `last_tick` was fired; `next_tick` is the next one by the server's clock."""

    name: str
    cron: str
    zone: str
    missed: Missed
    kind: str
    last_tick: datetime | None
    next_tick: datetime | None


class Schedules:
    """`fire_due` is called every second or so by every process."""

    def __init__(self, mongo: Mongo, clock: ServerClock, declared: Iterable[Schedule]) -> None:
        self._documents = mongo.collection(SCHEDULES)
        self._clock = clock
        self._declared = {schedule.name: schedule for schedule in declared}
        self._next: dict[str, datetime | None] = {}

    def seconds_to_next(self) -> float:
        """Until the earliest tick that this process knows of; infinite where there is none."""
        now = self._clock.now()
        known = [tick for tick in self._next.values() if tick is not None]
        return min(((tick - now).total_seconds() for tick in known), default=float("inf"))

    async def start(self) -> None:
        """Note the present for schedules that are new, and see which ticks were missed."""
        now = self._clock.now()
        for schedule in self._declared.values():
            fresh = {"$setOnInsert": {"seen_to": now}}
            row = await self._documents.find_one_and_upsert({"_id": schedule.name}, fresh)
            self._next[schedule.name] = schedule.next_after(row["seen_to"])

    async def fire_due(self, context: Context) -> int:
        """Fire every tick whose time has come; answers how many this process fired.

        A schedule that cannot be fired is tried again a little later and holds up no other. Raises only while the
        database is away.
        """
        now = self._clock.now()
        fired = 0
        for name, tick in list(self._next.items()):
            if tick is None or tick > now:
                continue
            schedule = self._declared[name]
            try:
                fired += await self._catch_up(schedule, now, context)
            except DATABASE_AWAY:
                raise
            except Exception:
                log.exception("jobs.schedule_broken", schedule=name)
                self._next[name] = now + BROKEN_RETRY
            else:
                self._next[name] = schedule.next_after(now)
        return fired

    async def _catch_up(self, schedule: Schedule, now: datetime, context: Context) -> int:
        row = await self._documents.find_one({"_id": schedule.name})
        last: datetime = row["seen_to"] if row else now
        ticks = due_ticks(schedule, last, now)
        messages = [_message_of(schedule, tick) for tick in ticks]
        fired = 0
        for tick, message in zip(ticks, messages, strict=True):
            fired += await self._fire(schedule, tick, message, context)
        seen = {"seen_to": now, **({"last_tick": ticks[-1]} if ticks else {})}
        await self._documents.update_one({"_id": schedule.name}, {"$max": seen}, upsert=True)
        return fired

    async def _fire(self, schedule: Schedule, tick: datetime, message: Message[Any], context: Context) -> int:
        try:
            await context.enqueue(message, job_id=tick_id(schedule, tick))
        except DuplicateKey:
            return 0
        return 1

    async def trigger(self, name: str, context: Context) -> str:
        """Fire a schedule now, beside its ticks; answers the job's id. Raises `NotFound`."""
        schedule = self._declared.get(name)
        if schedule is None:
            raise NotFound(f"There is no schedule {name}")
        return await context.enqueue(schedule.message(self._clock.now()))

    async def status(self) -> list[ScheduleStatus]:
        rows: dict[str, Document] = {row["_id"]: row for row in await self._documents.find({}).to_list(None)}
        now = self._clock.now()
        return [
            ScheduleStatus(
                name=schedule.name,
                cron=schedule.cron,
                zone=schedule.zone,
                missed=schedule.missed,
                kind=schedule.message(now).message_kind,
                last_tick=rows.get(schedule.name, {}).get("last_tick"),
                next_tick=schedule.next_after(now),
            )
            for schedule in self._declared.values()
        ]


def _message_of(schedule: Schedule, tick: datetime) -> Message[Any]:
    try:
        return schedule.message(tick)
    except Exception as error:  # whatever it is, it is the schedule's own fault and not the database's
        raise BrokenSchedule(f"The schedule {schedule.name} makes no message") from error


def due_ticks(schedule: Schedule, last: datetime, now: datetime) -> list[datetime]:
    """The ticks after `last` and up to `now` that are to be fired, oldest first, by the rule for missed ones."""
    due: list[datetime] = []
    for tick in schedule.ticks_back_from(now):
        missed = now - tick > ON_TIME
        if tick <= last or len(due) >= MOST_MISSED or (missed and schedule.missed is Missed.SKIP):
            break
        due.append(tick)
        if missed and schedule.missed is Missed.LATEST:
            break
    if schedule.missed is Missed.LATEST and len(due) > 1 and now - due[-1] > ON_TIME:
        due.pop()  # a tick that is on time makes up for those before it
    return due[::-1]


def tick_id(schedule: Schedule, tick: datetime) -> str:
    return f"cron:{schedule.name}:{tick:%Y%m%dT%H%M%SZ}"
