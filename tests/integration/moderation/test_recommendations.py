"""A model's recommendation on a real MongoDB: who sees it, who pays it, and that nothing waits for it or follows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from promptforge.actors.ai.errors import ModelFailed, ModelMisconfigured
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    GetListing,
    Licence,
    ListingState,
    ListingView,
    SubmitListing,
)
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason
from promptforge.actors.moderation.messages import (
    CaseDetailView,
    CaseKind,
    CaseState,
    ClaimCase,
    GetCase,
    ListCases,
    OpenCase,
    ReadCaseContent,
    ReasonCode,
    RecommendationView,
    Verdict,
)
from promptforge.actors.moderation.recommending.messages import RecommendOnCase
from promptforge.actors.moderation.recommending.store import DaySpent, SpendingStore
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.deploy.settings import Settings
from tests.support.market import judge
from tests.support.sealed import CANARY, COST, Lighthouse, open_lighthouse

pytestmark = pytest.mark.anyio
ADVICE = {"recommendation": "reject", "reason_code": "misleading", "words": f"It says: {CANARY}"}


def opened(mongo: Mongo, **settings: Any) -> AbstractAsyncContextManager[Lighthouse]:
    wanted = {"moderation_llm_model": "scripted-1", **settings}
    return open_lighthouse(mongo, settings=Settings(stripe_secret_key=SecretStr("sk_test_unused"), **wanted))


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with opened(mongo) as one:
        one.says(json.dumps(ADVICE))
        yield one


async def submitted(lighthouse: Lighthouse) -> tuple[Context, str, ListingView]:
    """A moderator, and the case of something that was submitted; its jobs have run."""
    mona = await lighthouse.market.person("mona", Role.MODERATOR)
    draft = await lighthouse.draft(licence=Licence.SOURCE, terms=None)
    listing = await lighthouse.seller.ask(SubmitListing(listing_id=draft.id))
    return mona, await lighthouse.market.case_of(mona, listing), listing


async def recommended(lighthouse: Lighthouse) -> tuple[CaseDetailView, RecommendationView | None]:
    mona, case_id, _ = await submitted(lighthouse)
    await retried(lighthouse)
    detail = await mona.ask(GetCase(case_id=case_id))
    return detail, detail.recommendation


async def retried(lighthouse: Lighthouse) -> None:
    """Whatever is to be tried again later is tried now."""
    for _ in range(6):
        lighthouse.clock.advance(hours=1)
        await lighthouse.market.jobs_done()


async def spent(lighthouse: Lighthouse) -> int:
    return sum(row["taken"] for row in await lighthouse.collection("moderation_spending").find({}).to_list(None))


async def booked(lighthouse: Lighthouse) -> dict[str, int]:
    legs = (
        await lighthouse.collection("transactions")
        .find({"account": {"$regex": "^platform:(llm|checks)$"}})
        .to_list(None)
    )
    return {leg["account"]: leg["amount"] for leg in legs}


async def right(lighthouse: Lighthouse) -> bool:
    return (await verify_ledger(lighthouse.market.process.mongo)).violations == ()


async def test_a_moderator_sees_what_the_model_would_decide_and_its_words_with_the_sealed_text_only(
    lighthouse: Lighthouse,
) -> None:
    mona, case_id, listing = await submitted(lighthouse)
    detail = await mona.ask(GetCase(case_id=case_id))
    shown = detail.recommendation
    assert shown is not None
    assert (shown.decision, shown.reason_code, shown.model) == (Verdict.REJECT, ReasonCode.MISLEADING, "scripted-1")
    assert (shown.words, shown.read_all) == (None, True)
    assert CANARY not in repr((detail, (await mona.ask(ListCases())).items))
    assert (detail.case.state, detail.case.decision) == (CaseState.OPEN, None)
    await mona.ask(ClaimCase(case_id=case_id))
    content = await mona.ask(ReadCaseContent(case_id=case_id))
    assert content.recommendation is not None
    assert content.recommendation.words == ADVICE["words"]
    seen = await lighthouse.seller.ask(GetListing(listing_id=listing.id))
    assert (seen.state, seen.review) == (ListingState.IN_REVIEW, None)
    assert await lighthouse.market.notices(lighthouse.seller) == []
    await judge(mona, case_id)
    assert (await lighthouse.seller.ask(GetListing(listing_id=listing.id))).state is ListingState.PUBLISHED


async def test_a_reported_listing_is_looked_at_with_what_the_report_says(lighthouse: Lighthouse) -> None:
    await lighthouse.offer(licence=Licence.SOURCE, terms=None)
    asked = len(lighthouse.model.told)
    lighthouse.says(json.dumps({"recommendation": "suspend", "reason_code": "copied", "words": "As the report says."}))
    rita, eve = await lighthouse.market.person("rita"), await lighthouse.market.person("eve")
    for person, words in ((rita, "It is my lighthouse."), (eve, "Mine as well.")):
        await person.ask(ReportListing(listing_id=lighthouse.listing.id, reason=ReportReason.COPIED, words=words))
    await lighthouse.market.jobs_done()
    mona = await lighthouse.market.person("mona", Role.MODERATOR)
    (case,) = (await mona.ask(ListCases(kind=CaseKind.REPORT))).items
    detail = await mona.ask(GetCase(case_id=case.id))
    shown = detail.recommendation
    assert shown is not None
    assert (shown.decision, shown.reason_code, shown.words) == (Verdict.SUSPEND, ReasonCode.COPIED, None)
    assert len(lighthouse.model.told) == asked + 1, "once, however many report it"
    told = json.loads(lighthouse.model.told[-1].turns[-1].text)
    assert "It is my lighthouse." in told["report"]
    assert CANARY in json.dumps(told["texts"])
    assert detail.listing.state is ListingState.PUBLISHED, "nothing follows from it"
    assert await spent(lighthouse) == (asked + 1) * COST
    assert await right(lighthouse)


async def test_a_report_of_what_is_off_the_market_already_is_not_asked_about(lighthouse: Lighthouse) -> None:
    await lighthouse.offer(licence=Licence.SOURCE, terms=None)
    rita = await lighthouse.market.person("rita")
    listing = lighthouse.listing
    await rita.ask(ReportListing(listing_id=listing.id, reason=ReportReason.COPIED, words="It is mine."))
    suspend = ApplyDecision(
        listing_id=listing.id,
        revision=listing.revision,
        decision=Decision.SUSPEND,
        moderator_id="usr_moderator",
        reason_code="copied",
        public_note="Why.",
    )
    await lighthouse.market.process.context().ask(suspend)
    asked = len(lighthouse.model.told)
    await lighthouse.market.jobs_done()
    mona = await lighthouse.market.person("mona", Role.MODERATOR)
    (case,) = (await mona.ask(ListCases(kind=CaseKind.REPORT))).items
    assert (await mona.ask(GetCase(case_id=case.id))).recommendation is None
    assert len(lighthouse.model.told) == asked


async def test_the_platform_pays_and_nobody_else(lighthouse: Lighthouse) -> None:
    before = await lighthouse.money(lighthouse.seller)
    await submitted(lighthouse)
    assert await booked(lighthouse) == {"platform:checks": -COST, "platform:llm": COST}
    assert await spent(lighthouse) == COST
    assert await lighthouse.money(lighthouse.seller) == before
    (usage,) = await lighthouse.collection("usage").find({}).to_list(None)
    assert (usage["user_id"], usage["purpose"], usage["outcome"]) == ("platform", "moderation.check.v1", "ok")
    assert await right(lighthouse)


@pytest.mark.parametrize(
    "said",
    ["I approve it.", "{}", json.dumps({**ADVICE, "recommendation": "approve"}), json.dumps({**ADVICE, "more": 1})],
    ids=["words", "empty", "reason of another", "more"],
)
async def test_an_answer_of_another_form_is_no_recommendation_and_is_not_asked_again(
    lighthouse: Lighthouse, said: str
) -> None:
    lighthouse.says(said)
    _, shown = await recommended(lighthouse)
    assert shown is not None
    assert (shown.state, shown.because, shown.decision) == ("none", "answer_unusable", None)
    assert len(lighthouse.model.told) == 1
    assert await booked(lighthouse) == {"platform:checks": -COST, "platform:llm": COST}


async def test_a_model_that_keeps_failing_is_asked_three_times_and_the_queue_goes_on(lighthouse: Lighthouse) -> None:
    lighthouse.model.fails = ModelFailed()
    mona, case_id, listing = await submitted(lighthouse)
    assert (await mona.ask(GetCase(case_id=case_id))).recommendation is None
    await judge(mona, await lighthouse.market.case_of(mona, (await submitted(lighthouse))[2]))
    told = len(lighthouse.model.told)
    await retried(lighthouse)
    shown = (await mona.ask(GetCase(case_id=case_id))).recommendation
    assert shown is not None
    assert (shown.state, shown.because) == ("none", "model_failed")
    assert (told, len(lighthouse.model.told)) == (2, 4), "the one that was decided meanwhile is asked about no more"
    assert await booked(lighthouse) == {}
    await judge(mona, case_id)
    assert (await lighthouse.seller.ask(GetListing(listing_id=listing.id))).state is ListingState.PUBLISHED
    assert await right(lighthouse)


async def test_what_cannot_get_better_is_asked_once(lighthouse: Lighthouse) -> None:
    lighthouse.model.fails = ModelMisconfigured()
    _, shown = await recommended(lighthouse)
    assert shown is not None
    assert (shown.because, len(lighthouse.model.told)) == ("model_misconfigured", 1)


async def test_a_second_try_that_succeeds_is_the_recommendation(lighthouse: Lighthouse) -> None:
    lighthouse.model.fails = ModelFailed()
    mona, case_id, _ = await submitted(lighthouse)
    lighthouse.model.fails = None
    await retried(lighthouse)
    shown = (await mona.ask(GetCase(case_id=case_id))).recommendation
    assert shown is not None
    assert shown.decision is Verdict.REJECT
    assert await booked(lighthouse) == {"platform:checks": -COST, "platform:llm": COST}


async def test_it_is_asked_once_however_often_the_job_comes(lighthouse: Lighthouse) -> None:
    _, case_id, _ = await submitted(lighthouse)
    service = lighthouse.market.process.context()
    lighthouse.says(json.dumps({**ADVICE, "reason_code": "spam"}))
    assert {await service.ask(RecommendOnCase(case_id=case_id)) for _ in range(3)} == {"nothing to do"}
    assert len(lighthouse.model.told) == 1


async def test_no_more_than_the_days_limit_is_spent_and_the_next_day_begins_anew(mongo: Mongo) -> None:
    async with opened(mongo, moderation_llm_daily_credits=4) as lighthouse:
        lighthouse.says(json.dumps(ADVICE))
        because = []
        for _ in range(30):
            mona, case_id, _ = await submitted(lighthouse)
            shown = (await mona.ask(GetCase(case_id=case_id))).recommendation
            assert shown is not None
            because.append(shown.because)
            await judge(mona, case_id)
        assert set(because) == {None, "day_spent"}
        assert because == sorted(because, key=lambda one: one is not None)
        assert await spent(lighthouse) == because.count(None) * COST <= 4000
        assert await right(lighthouse)
        lighthouse.clock.advance(days=1)
        mona, case_id, _ = await submitted(lighthouse)
        again = (await mona.ask(GetCase(case_id=case_id))).recommendation
        assert again is not None
        assert again.because is None


async def test_of_many_at_once_no_more_is_taken_than_a_day_has(lighthouse: Lighthouse) -> None:
    store = SpendingStore(lighthouse.market.process.mongo)
    outcomes: Counter[str] = Counter()

    async def take() -> None:
        context = lighthouse.market.process.context()
        try:
            await context.transaction(lambda tx: store.take("2026-11-26", 300, most=1000, session=tx.session))
        except DaySpent:
            outcomes["spent"] += 1
        else:
            outcomes["taken"] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(take)
    assert (outcomes, await spent(lighthouse)) == ({"taken": 3, "spent": 17}, 900)


async def test_without_a_setting_nobody_is_asked(mongo: Mongo) -> None:
    async with opened(mongo, moderation_llm_model=None) as lighthouse:
        _, shown = await recommended(lighthouse)
        assert (shown, lighthouse.model.told) == (None, [])
        jobs = await lighthouse.collection("jobs").count_documents({"kind": {"$regex": "Recommend"}})
        assert jobs == 0


async def test_reports_of_reviews_are_not_asked_about(lighthouse: Lighthouse) -> None:
    mona, case_id, listing = await submitted(lighthouse)
    await judge(mona, case_id)
    asked = len(lighthouse.model.told)
    opening = OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.REVIEW_REPORT,
        reason="Spam",
        subject="rev_1",
        brought_by="usr_x",
    )
    await lighthouse.market.process.context().ask(opening)
    await lighthouse.market.jobs_done()
    assert len(lighthouse.model.told) == asked


async def test_what_a_failed_run_held_stays_taken_from_the_day(lighthouse: Lighthouse) -> None:
    """What its provider did before it failed nobody knows."""
    lighthouse.model.fails = ModelFailed()
    mona, case_id, _ = await submitted(lighthouse)
    held = await spent(lighthouse)
    assert held > COST
    lighthouse.model.fails = None
    await retried(lighthouse)
    shown = (await mona.ask(GetCase(case_id=case_id))).recommendation
    assert shown is not None
    assert shown.decision is Verdict.REJECT
    assert await spent(lighthouse) == held + COST
    assert await right(lighthouse)


async def test_a_run_that_is_over_when_its_job_comes_again_is_followed_by_another(lighthouse: Lighthouse) -> None:
    """As when a process was lost for so long that what its run held was released: that was no attempt."""
    lighthouse.model.fails = ModelFailed()
    mona, case_id, _ = await submitted(lighthouse)
    lighthouse.model.fails = None
    assert await lighthouse.market.process.context().ask(RecommendOnCase(case_id=case_id)) == "given"
    shown = (await mona.ask(GetCase(case_id=case_id))).recommendation
    assert shown is not None
    assert shown.decision is Verdict.REJECT
    assert await booked(lighthouse) == {"platform:checks": -COST, "platform:llm": COST}
    assert await right(lighthouse)


async def test_sellers_who_moderate_do_not_see_it_of_their_own_with_any_account(lighthouse: Lighthouse) -> None:
    mona, case_id, _ = await submitted(lighthouse)
    alt = await lighthouse.market.person("alt", Role.MODERATOR)
    assert (await alt.ask(GetCase(case_id=case_id))).recommendation is not None
    seller = lighthouse.seller.user_id
    rows = [{"_id": user_id, "group": seller} for user_id in (alt.user_id, seller)]
    await lighthouse.collection("account_links").insert_many(rows)
    principal = Principal(seller, "wanda", roles=frozenset({Role.USER, Role.SELLER, Role.MODERATOR}))
    moderating = lighthouse.market.process.system.context(request_id="r", principal=principal)
    for person in (moderating, alt):
        detail = await person.ask(GetCase(case_id=case_id))
        assert (detail.recommendation, detail.case.id) == (None, case_id)
    assert (await mona.ask(GetCase(case_id=case_id))).recommendation is not None
