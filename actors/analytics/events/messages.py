"""Events: what a program tells of, and what became of a batch of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.clock import Instant
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import Scan
from promptforge.core.text import LINE

MAX_BATCH = 500
MAX_PROPERTIES = 20
LARGEST_VALUE = 1e12

EventKind = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_.-]{0,63}$",
        examples=["answer.accepted"],
        description="What happened: lower-case letters, digits, dots, dashes and underscores",
    ),
]
ExternalId = Annotated[
    str,
    Len(1, 100),
    LINE,
    Field(examples=["order-8431-accepted"], description="Your id of it: told again with this id, it counts once"),
]
Variant = Annotated[
    str, Len(1, 40), LINE, Field(examples=["short-answers"], description="Which of a few variants it was about")
]
PropertyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["rating"])]
Text = Annotated[str, Len(0, 200)]
Number = Annotated[float, Ge(-LARGEST_VALUE), Le(LARGEST_VALUE)]
Properties = Annotated[
    dict[PropertyName, Text | bool | int | float | None],
    Field(
        max_length=MAX_PROPERTIES,
        examples=[{"rating": 4, "channel": "mail"}],
        description="What else is to be kept with it: plain values, nothing about persons",
    ),
]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened in a program of yours.

    `value` is added up. What you will group by is `kind`, `prompt_id`, `prompt_version` and `variant`, which have few
    values; `properties` are only kept and exported.
    """

    external_id: ExternalId
    kind: EventKind
    at: Annotated[Instant, Field(examples=["2026-11-20T08:30:00Z"])]
    value: Annotated[Number, Field(examples=[1.5])] | None = None
    prompt_id: Annotated[str, Len(1, 64), LINE] | None = None
    prompt_version: Annotated[int, Ge(1), Le(10**9)] | None = None
    variant: Variant | None = None
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEvents:
    """How many events were new, and how many had been told before with the same `external_id`."""

    inserted: Annotated[int, Field(examples=[498])]
    duplicates: Annotated[int, Field(examples=[2])]


@requires(scope="analytics:write")
class RecordEvents(Command[RecordedEvents]):
    """Tell of up to 500 events; one that was told before, by its `external_id`, is not counted again.

    The same batch may be sent until it is answered. Events are from the last 400 days and not from the future (422
    `out_of_range`). What looks like personal data, such as an e-mail address, is refused (422 `personal_data`): refer
    to people by ids that say nothing. One event that is not right, and none of the batch is taken. They are in sums
    within about a minute.
    """

    events: Annotated[tuple[NewEvent, ...], Len(1, MAX_BATCH)]


# For other features


@internal
class ForgetEvents(Command[int]):
    """Delete every event of a user and what was added up of them; answers how many events there were."""

    user_id: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is exported."""

    external_id: str
    kind: str
    at: datetime
    value: float | None
    prompt_id: str | None
    prompt_version: int | None
    variant: str | None
    properties: str
    received_at: datetime


@internal
class ScanEvents(Query[Scan[StoredEvent]]):
    """A user's events in the order of their external ids."""

    user_id: str
    after: str | None = None
    limit: int = 1000
