"""Appeals against runs that were stopped for good: who is heard, and whose bar is lifted, on a real MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.marketplace.errors import RunsBarred
from promptforge.actors.marketplace.messages import PurchaseListing
from promptforge.actors.marketplace.sealed.messages import AppealRuns, GetRunsRuling
from promptforge.actors.marketplace.sealed.rulings import RunsRuling, RunsRulingStore
from promptforge.actors.marketplace.sealed.store import AccountStore
from promptforge.actors.moderation.messages import CaseKind, ClaimCase, ListCases, ReasonCode, Verdict
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import all_at_once
from tests.integration.marketplace.test_sealed_counting import decide, give_away, link
from tests.support.market import decision, judge, raised
from tests.support.sealed import ANSWER, Lighthouse, open_lighthouse, refused

pytestmark = pytest.mark.anyio
WORDS = "I asked for the weather, and it told me its text by itself."


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer()
        yield opened


def appeal(lighthouse: Lighthouse) -> AppealRuns:
    return AppealRuns(listing_id=lighthouse.listing.id, words=WORDS)


async def appealed(lighthouse: Lighthouse, person: Context) -> tuple[Context, str]:
    """Another moderator, and the case."""
    await person.ask(appeal(lighthouse))
    await lighthouse.market.jobs_done()
    other = await lighthouse.market.person("other-moderator", Role.MODERATOR)
    (case,) = (await other.ask(ListCases(kind=CaseKind.EXTRACTION_APPEAL))).items
    assert (case.reason, case.against is None) == (WORDS, False)
    return other, case.id


async def told(lighthouse: Lighthouse, person: Context, kind: str) -> list[str]:
    return [one.body for one in await lighthouse.market.notices(person) if one.kind == kind]


async def test_an_appeal_that_is_granted_lets_linked_accounts_run_and_buy_again(lighthouse: Lighthouse) -> None:
    (bruno, _), (berta, _) = [await lighthouse.buyer(uid) for uid in ("bruno", "berta")]
    await link(lighthouse, bruno, berta)
    await give_away(lighthouse, bruno, 5)
    await decide(lighthouse, Verdict.REFUND, ReasonCode.EXTRACTION)
    ruling = await berta.ask(GetRunsRuling(listing_id=lighthouse.listing.id))
    assert ruling.appeal_until is not None
    assert f"appeal until {ruling.appeal_until:%Y-%m-%d}" in (await told(lighthouse, berta, "runs.decided"))[0]
    assert await raised(await lighthouse.market.person("eve"), appeal(lighthouse)) == "not_found"
    other, case_id = await appealed(lighthouse, berta)
    assert await raised(bruno, appeal(lighthouse)) == "already_appealed", "they are one"
    moderator = await lighthouse.market.person("moderator", Role.MODERATOR)
    assert await raised(moderator, ClaimCase(case_id=case_id)) == "own_decision"
    assert await raised(moderator, decision(case_id, Verdict.RESTORE)) == "own_decision"
    await judge(other, case_id, Verdict.RESTORE)
    lighthouse.says(ANSWER)
    for one in (bruno, berta):
        assert "changed the decision" in (await told(lighthouse, one, "runs.decided"))[0]
        assert await raised(one, PurchaseListing(listing_id=lighthouse.listing.id, expected_price="0")) == "done"
        assert (await lighthouse.run(one)).output == ANSWER
    assert len(await told(lighthouse, lighthouse.seller, "listing.runs_restored")) == 1
    await give_away(lighthouse, bruno, 4)
    lighthouse.says(ANSWER)
    assert (await lighthouse.run(bruno)).output == ANSWER, "matches are counted from zero"
    assert await raised(bruno, appeal(lighthouse)) == "nothing_to_appeal"


async def test_an_appeal_that_is_refused_is_final(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await give_away(lighthouse, bruno, 5)
    await decide(lighthouse, Verdict.REFUND, ReasonCode.EXTRACTION)
    other, case_id = await appealed(lighthouse, bruno)
    await other.ask(ClaimCase(case_id=case_id))
    refusal = decision(case_id, Verdict.REFUND)
    assert await all_at_once([(other, refusal)] * 4) == {"done": 4}, "many clicks, one decision"
    bruno = await lighthouse.market.person("bruno")
    assert await refused(lighthouse, bruno) == "runs_barred"
    assert (await bruno.ask(GetRunsRuling(listing_id=lighthouse.listing.id))).final
    assert "That is final" in (await told(lighthouse, bruno, "runs.decided"))[0]
    assert await raised(bruno, appeal(lighthouse)) == "nothing_to_appeal"


async def test_who_is_linked_later_and_asks_at_another_listing_finds_the_ruling_and_can_appeal(
    lighthouse: Lighthouse,
) -> None:
    """The bar is for all who are linked, and for the prompt: so is what says why."""
    other_listing = await lighthouse.offer_again()
    bruno, _ = await lighthouse.buyer()
    await give_away(lighthouse, bruno, 5)
    await decide(lighthouse, Verdict.REFUND, ReasonCode.EXTRACTION)
    berta = await lighthouse.market.person("berta")
    at_the_other = GetRunsRuling(listing_id=other_listing.id)
    assert (await raised(berta, at_the_other), await raised(bruno, at_the_other)) == ("not_found", "done")
    await link(lighthouse, bruno, berta)
    assert await refused(lighthouse, berta, listing_id=other_listing.id) == "runs_barred"
    with pytest.raises(RunsBarred, match=f"/marketplace/listings/{other_listing.id}/runs/ruling"):
        await berta.ask(PurchaseListing(listing_id=other_listing.id, expected_price="0"))
    ruling = await berta.ask(at_the_other)
    assert (ruling.reason_code, ruling.appeal_until is None) == ("extraction", False)
    await berta.ask(AppealRuns(listing_id=other_listing.id, words=WORDS))
    assert await raised(bruno, appeal(lighthouse)) == "already_appealed"
    await lighthouse.market.jobs_done()
    other = await lighthouse.market.person("other-moderator", Role.MODERATOR)
    (case,) = (await other.ask(ListCases(kind=CaseKind.EXTRACTION_APPEAL))).items
    await judge(other, case.id, Verdict.RESTORE)
    for one in (bruno, berta):
        assert "changed the decision" in (await told(lighthouse, one, "runs.decided"))[0]
        assert await raised(one, PurchaseListing(listing_id=other_listing.id, expected_price="0")) == "done"
        assert (await one.ask(GetRunsRuling(listing_id=lighthouse.listing.id))).overturned_at is not None


async def test_of_two_rulings_the_one_that_can_be_appealed_is_told(mongo: Mongo) -> None:
    rulings = RunsRulingStore(mongo)
    now = datetime(2026, 11, 26, tzinfo=UTC)
    for number, (case_id, final) in enumerate((("cas_open", False), ("cas_final", True), ("cas_lifted", False))):
        ruling = {"case_id": case_id, "final": final}
        kept = RunsRuling(case_id, "lst_1", "prm_1", "usr_a", ("usr_a",), ruling)
        await rulings.insert(kept, now=now + timedelta(days=number), session=None)
    for user_id in ("usr_a", "usr_linked"):
        found = await rulings.get("prm_1", user_id, barred_by=["cas_final", "cas_open"], session=None)
        assert found.case_id == "cas_open"


async def test_lifting_one_bar_leaves_that_of_another_case(mongo: Mongo) -> None:
    accounts = AccountStore(mongo)
    for person, case_id in (("usr_a", "cas_1"), ("usr_b", "cas_2")):
        await accounts.add_match("prm_1", person, person, session=None)
        await accounts.let_go("prm_1", [person], barred_by=case_id, session=None)
    await accounts.let_go("prm_1", ["usr_b"], barred_by="cas_1", session=None)
    await accounts.lift("prm_1", "cas_1", session=None)
    barred = {one: (await accounts.get("prm_1", [one])).barred for one in ("usr_a", "usr_b")}
    assert barred == {"usr_a": False, "usr_b": True}
