"""Carries the checks out, as jobs of their own: what they find is kept with the case, and no case waits for them.

The rules' findings are committed with the job's completion. Even the worst finding decides nothing: a moderator does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog
from anyio import to_thread

from promptforge.actors.marketplace.documents.messages import ScanListingDocuments
from promptforge.actors.marketplace.messages import GetListingForReview, ListingView
from promptforge.actors.moderation.checks.findings import DUPLICATES, RULES, not_checked, not_compared, sorted_findings
from promptforge.actors.moderation.checks.messages import CheckCase, Finding, FingerprintPublished, RenewFingerprints
from promptforge.actors.moderation.checks.passages import passages_of
from promptforge.actors.moderation.checks.personal import find_personal_data
from promptforge.actors.moderation.checks.renewing import MOST_COMPARED, Renewal, fingerprints_of, taken_of
from promptforge.actors.moderation.checks.secrets import find_secrets
from promptforge.actors.moderation.checks.terms import TermList
from promptforge.actors.moderation.contents import compared_texts, parts_sold_by, sold_by, versions_of
from promptforge.actors.moderation.domain import RECOMMENDED
from promptforge.actors.moderation.duplicates.looking import Duplicates
from promptforge.actors.moderation.history import DecisionLog
from promptforge.actors.moderation.messages import CaseView
from promptforge.actors.moderation.recommending.messages import RecommendOnCase
from promptforge.actors.moderation.store import CaseStore
from promptforge.actors.packages.messages import PackagePart
from promptforge.actors.prompts.messages import PromptVersionView
from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, NotFound
from promptforge.core.runtime import Actor, handles

LISTINGS_A_JOB = 50

log = structlog.get_logger(__name__)


class ChecksActor(Actor):
    """`advised`: a language model is asked about what was checked."""

    name = "checks"
    asks = ("listing_documents", "marketplace", "prompts", "package_files")

    def __init__(
        self, store: CaseStore, terms: TermList, duplicates: Duplicates, history: DecisionLog, *, advised: bool = False
    ) -> None:
        self._renewal = Renewal(duplicates.store, history)
        self._store = store
        self._terms = terms
        self._duplicates = duplicates
        self._advised = advised

    async def run(self, context: Context) -> None:
        """Read the index in the background, so that the first check need not wait for it."""
        try:
            await self._duplicates.catch_up()
        except DATABASE_AWAY as error:
            log.warning("moderation.index_not_read", error=error.code)

    @handles(CheckCase, key="case_id", atomic=True)
    async def check(self, message: CheckCase, context: Context) -> int:
        case, listing, version, parts = await self._read(message.case_id, context)
        # A long text takes a moment, in which the loop has others to serve.
        found = await to_thread.run_sync(lambda: sorted_findings(self._rules(case, listing, version, parts)))
        await self._store.keep_findings(case.id, RULES, found, session=context.session)
        alike = await self._alike(listing, version, parts, context)
        await self._store.keep_findings(case.id, DUPLICATES, alike, session=context.session)
        await self._store.keep_checked(case.id, now=context.now(), session=context.session)
        if self._advised and case.kind in RECOMMENDED:
            await context.enqueue(RecommendOnCase(case_id=case.id), unique=f"moderation.recommend:{case.id}")
        return len(found) + len(alike)

    async def _alike(
        self, listing: ListingView, version: PromptVersionView, parts: Sequence[PackagePart], context: Context
    ) -> list[Finding]:
        """Kept first: of two copies checked at once, whichever is approved later is found by the next check."""
        texts = compared_texts(version, parts)
        own = await to_thread.run_sync(fingerprints_of, texts)
        store = self._duplicates.store
        await store.keep(listing.id, version.version, listing.seller_id, own, session=context.session)
        found = await self._duplicates.find(own, listing_id=listing.id, seller_id=listing.seller_id)
        return found + list(not_compared(len(texts) - MOST_COMPARED))

    @handles(FingerprintPublished)
    async def fingerprint_published(self, message: FingerprintPublished, context: Context) -> int:
        """Not atomic: the second time changes nothing."""
        page = await context.ask(ScanListingDocuments(after=message.after, limit=LISTINGS_A_JOB))
        store = self._duplicates.store
        unknown = await store.without([document.id for document in page.items])
        for listing_id in unknown:
            await self._know(await context.ask(GetListingForReview(listing_id=listing_id)), context)
        if page.next is not None:
            await context.enqueue(FingerprintPublished(after=page.next), unique=f"fingerprint-published:{page.next}")
        return len(unknown)

    @handles(RenewFingerprints)
    async def renew(self, message: RenewFingerprints, context: Context) -> int:
        """Not atomic: each version is a transaction of its own, and the next job goes on where this one ends."""
        return await self._renewal.some(context)

    async def _know(self, listing: ListingView, context: Context) -> None:
        try:
            found = await taken_of(listing, listing.version, context)
        except NotFound:  # what the service before offered has no text here
            return
        store = self._duplicates.store
        await store.keep(listing.id, listing.version, listing.seller_id, found, session=None)
        await store.approve(listing.id, listing.version, now=context.now(), session=None)

    async def _read(
        self, case_id: str, context: Context
    ) -> tuple[CaseView, ListingView, PromptVersionView, tuple[PackagePart, ...]]:
        case = await self._store.get(case_id, now=context.now(), session=context.session)
        listing = await context.ask(GetListingForReview(listing_id=case.listing_id))
        number, _ = versions_of(case, listing)
        wanted = parts_sold_by(listing, number)
        parts = () if wanted is None else await context.ask(wanted)
        return case, listing, await context.ask(sold_by(listing, number)), parts

    def _rules(
        self, case: CaseView, listing: ListingView, version: PromptVersionView, parts: Sequence[PackagePart]
    ) -> Iterator[Finding]:
        passages = list(passages_of(case, listing, version, parts))
        yield from not_checked(passages)
        for passage in passages:
            yield from find_secrets(passage)
            yield from find_personal_data(passage)
            yield from self._terms.find(passage)
