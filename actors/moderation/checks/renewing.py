"""Takes fingerprints anew that were taken in another edition, version by version, in the background.

Each version is one transaction, which conflicts with whoever decides about it at this moment, and marks what it has
looked at: cut short, or done by two at once, each comes to the same end, and the next job goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
from anyio import to_thread

from promptforge.actors.marketplace.listings.messages import GetVersionsThen
from promptforge.actors.marketplace.messages import GetListingForReview, ListingView
from promptforge.actors.moderation.contents import compared_texts, parts_sold_by, sold_by
from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint, fingerprint
from promptforge.actors.moderation.duplicates.refusals import Unknown, refusal_of
from promptforge.actors.moderation.duplicates.store import FingerprintStore
from promptforge.actors.moderation.history import DecisionLog
from promptforge.core.context import Context
from promptforge.core.errors import NotFound, PromptForgeError

MOST_COMPARED = 100
"""Texts of a version that copies are looked for by: of a package first the newest version of every prompt."""
AT_ONCE = 100
ENOUGH_SECONDS = 60.0
"""Documents that one job reads, and how long it goes on with their versions."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Version:
    """`taken` is empty where its texts cannot be read any more."""

    listing_id: str
    number: int
    seller_id: str = ""
    taken: Sequence[Fingerprint] = ()


class Renewal:
    """Whoever uses it asks `marketplace`, `prompts` and `package_files`."""

    def __init__(self, fingerprints: FingerprintStore, history: DecisionLog) -> None:
        self._fingerprints = fingerprints
        self._history = history

    async def some(self, context: Context) -> int:
        """Answers how many versions it looked at."""
        until, looked_at = context.system.monotonic() + ENOUGH_SECONDS, 0
        for listing_id, version in await self._fingerprints.list_old(AT_ONCE):
            await self._renew(_Version(listing_id, version), context)
            looked_at += 1
            if context.system.monotonic() > until:
                break
        return looked_at

    async def _renew(self, one: _Version, context: Context) -> None:
        listing = None
        try:
            listing = await context.ask(GetListingForReview(listing_id=one.listing_id))
            one = replace(one, seller_id=listing.seller_id, taken=await taken_of(listing, one.number, context))
        except PromptForgeError as error:
            if error.retryable:
                raise
            if not isinstance(error, NotFound):  # or it would stand in the way of all others, for ever
                log.warning("moderation.not_renewed", listing_id=one.listing_id, error=error.code)
        await context.transaction(lambda tx: self._keep(one, tx, judged=listing is not None))

    async def _keep(self, one: _Version, tx: Context, *, judged: bool) -> None:
        store, session, taken = self._fingerprints, tx.session, one.taken
        if taken:
            await store.keep(one.listing_id, one.number, one.seller_id, taken, session=session)
        await store.renewed(one.listing_id, one.number, len(taken) or None, session=session)
        refused = await store.find_refusal(one.listing_id, one.number, session=session)
        if not judged or refused is None:
            return
        right = await self._refusal_of(one, tx)
        if not isinstance(right, Unknown) and right != refused:
            await store.correct_refusal(one.listing_id, one.number, right, session=session)
            log.info("moderation.refusal_corrected", listing_id=one.listing_id, version=one.number, is_now=right)

    async def _refusal_of(self, one: _Version, tx: Context) -> str | Unknown | None:
        decisions = await self._history.list_judgements(one.listing_id, session=tx.session)
        moments = tuple((decision.revision, decision.decided_at) for decision in decisions)
        then = await tx.ask(GetVersionsThen(listing_id=one.listing_id, moments=moments))
        return refusal_of(one.number, decisions, then)


async def taken_of(listing: ListingView, version: int, context: Context) -> list[Fingerprint]:
    """Of the texts of a version of what a listing sells, each. Raises `NotFound`."""
    wanted = parts_sold_by(listing, version)
    text = await context.ask(sold_by(listing, version))
    parts = () if wanted is None else await context.ask(wanted)
    return await to_thread.run_sync(fingerprints_of, compared_texts(text, parts))


def fingerprints_of(texts: Sequence[str]) -> list[Fingerprint]:
    """At most of `MOST_COMPARED`. A long text takes a moment, in which the loop has others to serve."""
    return [fingerprint(text) for text in texts[:MOST_COMPARED]]
