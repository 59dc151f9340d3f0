"""How a sale at Stripe begins: once for each time that it is asked for, with its key stored first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from promptforge.core.context import Context
from promptforge.core.ids import new_id

KEY_LIVES = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 hours (docs.stripe.com/api/idempotent_requests), and payment pages for
24 hours."""


class Begun(Protocol):
    """A document that was stored with its key before Stripe heard of it. `failed`: its key can never have a page."""

    @property
    def failed(self) -> bool: ...


BegunT = TypeVar("BegunT", bound=Begun)


async def begun_or_id(
    context: Context,
    prefix: str,
    *,
    find: Callable[[str], Awaitable[BegunT | None]],
    find_unfinished: Callable[[], Awaitable[BegunT | None]],
) -> BegunT | str:
    """What was begun before and is to be gone on with, or else the id under which to begin.

    A request that comes again gets what it has begun, however far that came; any other what an earlier one has left
    unfinished, whose outcome is unknown: its key is sent again.
    """
    identifier = new_id(prefix)
    if context.effect_id is not None:
        named = f"{prefix}_{context.effect_id[:26]}"
        begun = await find(named)
        if begun is None:
            identifier = named
        elif not begun.failed:
            return begun
    return await find_unfinished() or identifier
