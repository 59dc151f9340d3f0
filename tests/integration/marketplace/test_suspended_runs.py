"""Who bought runs of a listing hears that they are stopped, how to get their credits back, and that they go on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.marketplace.messages import Licence, RefundPurchase
from promptforge.actors.marketplace.purchases import actor as purchases
from promptforge.actors.moderation.messages import CaseKind, ListCases, OpenCase, Verdict
from promptforge.actors.moderation.reasons import REASONS
from promptforge.actors.notifications.messages import NotificationView
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.market import judge
from tests.support.sealed import Lighthouse, open_lighthouse

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        yield opened


async def told(lighthouse: Lighthouse, person: Context) -> list[NotificationView]:
    """Of their runs; the newest first."""
    notices = await lighthouse.market.notices(person)
    return [one for one in notices if one.kind in {"runs.suspended", "runs.resumed"}]


async def decided(lighthouse: Lighthouse, moderator: str, kind: CaseKind, verdict: Verdict) -> None:
    person = await lighthouse.market.person(moderator, Role.MODERATOR)
    if kind is CaseKind.REPORT:
        listing = lighthouse.listing
        opening = OpenCase(
            listing_id=listing.id, revision=2, seller_id=listing.seller_id, title=listing.title, kind=kind
        )
        await lighthouse.market.process.context().ask(opening)
    await lighthouse.market.jobs_done()
    (case,) = (await person.ask(ListCases(kind=kind))).items
    await judge(person, case.id, verdict)


async def test_a_suspension_tells_who_holds_runs_and_its_end_too(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purchases, "TOLD_AT_ONCE", 2)
    await lighthouse.offer(price="0")
    holders = [await lighthouse.buyer(f"buyer{number}") for number in range(5)]
    gone, purchase = await lighthouse.buyer("refunded")
    await lighthouse.market.process.context().ask(RefundPurchase(purchase_id=purchase.id, reason="As asked for"))
    await decided(lighthouse, "mona", CaseKind.REPORT, Verdict.SUSPEND)
    for person, bought in holders:
        (notice,) = await told(lighthouse, person)
        assert (notice.kind, notice.subject["purchase_id"]) == ("runs.suspended", bought.id)
        assert f"POST /marketplace/purchases/{bought.id}/refund" in notice.body
        assert any(f"({code}): {reason.words}" in notice.body for code, reason in REASONS.items())
    assert await told(lighthouse, gone) == []
    await decided(lighthouse, "mona", CaseKind.REPORT, Verdict.LIFT)
    for person, _ in holders:
        newest, before = await told(lighthouse, person)
        assert (newest.kind, before.kind) == ("runs.resumed", "runs.suspended")
        assert "/refund" not in newest.body


async def test_a_suspension_that_is_upheld_is_told_as_that(lighthouse: Lighthouse) -> None:
    await lighthouse.offer(price="0")
    bruno, _ = await lighthouse.buyer()
    await decided(lighthouse, "mona", CaseKind.REPORT, Verdict.SUSPEND)
    words = "It is my own text, and always was."
    await lighthouse.seller.ask(AppealListing(listing_id=lighthouse.listing.id, words=words))
    await decided(lighthouse, "max", CaseKind.APPEAL, Verdict.SUSPEND)
    newest, _ = await told(lighthouse, bruno)
    assert "does not come back" in newest.body
    assert "/refund" in newest.body


async def test_who_bought_the_source_keeps_it_and_hears_nothing(lighthouse: Lighthouse) -> None:
    await lighthouse.offer(licence=Licence.SOURCE, terms=None, price="0")
    bruno, _ = await lighthouse.buyer()
    await decided(lighthouse, "mona", CaseKind.REPORT, Verdict.SUSPEND)
    assert await told(lighthouse, bruno) == []
