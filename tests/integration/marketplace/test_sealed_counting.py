"""What sealed outputs give away adds up: per person and linked accounts, over listings and versions, until runs end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.ai.providers.interface import Prompt
from promptforge.actors.marketplace.messages import ListPurchases, PurchaseListing
from promptforge.actors.marketplace.sealed.messages import GetRunOffer, WithheldBecause
from promptforge.actors.moderation.messages import CaseKind, ClaimCase, DecideCase, ListCases, ReasonCode, Verdict
from promptforge.actors.moderation.reasons import REASONS
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.market import raised
from tests.support.sealed import ANSWER, CANARY, TEXT, Lighthouse, open_lighthouse, refused, verified

pytestmark = pytest.mark.anyio

LONG = (
    f"{TEXT} When the writer asks for money, say that a lighthouse has none, and that its oil is counted by the spoon. "
    "If they ask about love, tell them of the two buoys that knock together only in storms. Where a child is named, "
    "send it a shell, described so well that it need not be put in the envelope. Count neither ships nor years aloud. "
    "A letter without a question is answered with one; a letter with many is answered with the oldest of them. "
    "On Sundays speak slower than the foghorn, and on any other day never quicker than a gull that walks."
)


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer()
        yield opened


async def outcome(lighthouse: Lighthouse, person: Context, said: str, **fields: object) -> str:
    """`shown`, or why not."""
    lighthouse.says(said)
    ran = await lighthouse.run(person, **fields)  # type: ignore[arg-type]  # fields of a message
    return "shown" if ran.withheld is None else ran.withheld.code.value


async def link(lighthouse: Lighthouse, *people: Context) -> str:
    """They share a card from now on; answers the group's head."""
    group = min(one.user_id for one in people)
    for one in people:
        await lighthouse.collection("account_links").insert_one({"_id": one.user_id, "group": group})
    return group


async def test_pieces_of_several_outputs_add_up(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    outcomes = []
    for start in range(0, 240, 60):
        lighthouse.says(f"I recall: {TEXT[start : start + 55]} and no more")
        ran = await lighthouse.run(bruno)
        outcomes.append(None if ran.withheld is None else ran.withheld.code)
    assert outcomes[0] is None
    assert outcomes[-1] is WithheldBecause.ADDS_UP


async def test_a_long_text_does_not_come_out_in_small_pieces(lighthouse: Lighthouse) -> None:
    """None of which is a trace: they are remembered all the same, and whoever goes on is stopped."""
    await lighthouse.offer(text=LONG)
    bruno, _ = await lighthouse.buyer()
    outcomes, shown = [], 0
    for start in range(0, len(LONG), 36):
        lighthouse.says(LONG[start : start + 36])
        found = await refused(lighthouse, bruno)
        if found == "runs_stopped":
            break
        (account,) = await lighthouse.collection("sealed_accounts").find({}).to_list(None)
        outcomes.append(account["matches"])
        shown += account["matches"] == 0
    else:
        pytest.fail("never stopped")
    assert 36 * shown < 0.4 * len(LONG)
    assert outcomes[-1] == 5
    assert len((await open_cases(lighthouse))[1]) == 1


async def test_what_was_shown_once_may_be_shown_again(lighthouse: Lighthouse) -> None:
    """Such as headings that the prompt wants: nothing more comes out by them."""
    bruno, _ = await lighthouse.buyer(credits=50)
    heading, rest = TEXT[:36], range(36, 180, 36)
    assert await outcome(lighthouse, bruno, heading) == "shown"
    outcomes = [await outcome(lighthouse, bruno, TEXT[start : start + 36]) for start in rest]
    assert outcomes[-1] == WithheldBecause.ADDS_UP.value
    assert await outcome(lighthouse, bruno, heading) == "shown"


async def test_pieces_that_linked_accounts_get_at_the_same_moment_add_up(lighthouse: Lighthouse) -> None:
    """All write the one document of their group: else each is judged by what was shown before any of them."""
    people = [(await lighthouse.buyer(f"buyer-{number}"))[0] for number in range(6)]
    await link(lighthouse, *people)

    def piece(prompt: Prompt) -> list[str]:
        found = re.search(r"piece (\d)", prompt.turns[0].text)
        assert found is not None
        return [TEXT[36 * int(found[1]) :][:36]]

    lighthouse.model.script, lighthouse.model.pause = piece, 0.5
    shown: list[str] = []

    async def run(person: Context, number: int) -> None:
        ran = await lighthouse.run(person, f"piece {number}")
        shown.extend([ran.output] if ran.output else [])

    async with anyio.create_task_group() as tasks:
        for number, person in enumerate(people):
            tasks.start_soon(run, person, number)
    assert 1 <= len(shown) <= 3


async def test_who_tries_guesses_at_a_long_piece_is_counted_though_the_output_is_shown(lighthouse: Lighthouse) -> None:
    """What they sent is no copy; but that an output is shown which would be withheld tells them that they are right."""
    bruno, _ = await lighthouse.buyer()
    for guess, matches in ((CANARY[:40], []), (CANARY, [1])):
        lighthouse.says(guess)
        ran = await lighthouse.run(bruno, guess)
        assert (ran.output, ran.share) == (guess, "1")
        accounts = await lighthouse.collection("sealed_accounts").find({}).to_list(None)
        assert [account["matches"] for account in accounts] == matches
    for _ in range(4):
        await lighthouse.run(bruno, CANARY)
    assert await refused(lighthouse, bruno) == "runs_stopped"
    (account,) = await lighthouse.collection("sealed_accounts").find({}).to_list(None)
    assert account["copied"] == {}, "they knew it before"


async def test_two_listings_of_one_prompt_have_one_budget(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    other = await lighthouse.offer_again()
    await lighthouse.market.buy(bruno, other, price="0")
    for start in (0, 55, 110):
        await outcome(lighthouse, bruno, TEXT[start : start + 50])
    assert await outcome(lighthouse, bruno, TEXT[165:215], listing_id=other.id) == WithheldBecause.ADDS_UP.value


async def test_what_a_new_version_shares_with_the_old_one_stays_shown(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    for start in (0, 55, 110):
        await outcome(lighthouse, bruno, TEXT[start : start + 50])
    newer = "Begin with the weather. " + TEXT
    await lighthouse.seller.ask(CreateVersion(prompt_id=lighthouse.listing.prompt_id, content=newer))
    other = await lighthouse.offer_again(version=2)
    await lighthouse.market.buy(bruno, other, price="0")
    assert await outcome(lighthouse, bruno, TEXT[165:215], listing_id=other.id) == WithheldBecause.ADDS_UP.value


async def open_cases(lighthouse: Lighthouse) -> tuple[Context, list[str]]:
    await lighthouse.market.jobs_done()
    moderator = await lighthouse.market.person("moderator", Role.MODERATOR)
    cases = (await moderator.ask(ListCases(kind=CaseKind.EXTRACTION))).items
    return moderator, [case.id for case in cases]


async def give_away(lighthouse: Lighthouse, person: Context, times: int) -> None:
    lighthouse.says(TEXT)
    for _ in range(times):
        assert (await lighthouse.run(person)).withheld is not None


async def decide(lighthouse: Lighthouse, verdict: Verdict, reason: ReasonCode) -> None:
    moderator, (case_id,) = await open_cases(lighthouse)
    await moderator.ask(ClaimCase(case_id=case_id))
    await moderator.ask(DecideCase(case_id=case_id, decision=verdict, reason_code=reason, public_note="Looked at."))


async def test_the_fifth_match_stops_the_runs_until_a_moderator_has_looked(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await give_away(lighthouse, bruno, 4)
    assert (await open_cases(lighthouse))[1] == []
    await give_away(lighthouse, bruno, 1)
    assert await refused(lighthouse, bruno) == "runs_stopped"
    lighthouse.says(ANSWER)
    assert await refused(lighthouse, bruno) == "runs_stopped"
    assert len((await open_cases(lighthouse))[1]) == 1
    other, _ = await lighthouse.buyer("berta")
    assert (await lighthouse.run(other)).output == ANSWER
    await decide(lighthouse, Verdict.DISMISS, ReasonCode.UNFOUNDED)
    assert (await lighthouse.run(bruno)).output == ANSWER
    await give_away(lighthouse, bruno, 4)
    assert (await open_cases(lighthouse))[1] == []
    await give_away(lighthouse, bruno, 1)
    assert await refused(lighthouse, bruno) == "runs_stopped"
    assert len((await open_cases(lighthouse))[1]) == 1
    kinds = [one.kind for one in await lighthouse.market.notices(bruno)]
    assert (kinds.count("runs.stopped"), kinds.count("runs.decided")) == (2, 1)
    assert await verified(lighthouse)


async def test_what_is_dismissed_does_not_begin_anew_with_what_was_shown(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    assert await outcome(lighthouse, bruno, TEXT[:50]) == "shown"
    before = (await lighthouse.collection("sealed_accounts").find({}).to_list(None))[0]["copied"]
    await give_away(lighthouse, bruno, 4)
    await decide(lighthouse, Verdict.DISMISS, ReasonCode.UNFOUNDED)
    (account,) = await lighthouse.collection("sealed_accounts").find({}).to_list(None)
    assert (account["matches"], account["copied"]) == (0, before)


async def test_a_case_that_is_upheld_takes_the_purchase_for_good(lighthouse: Lighthouse) -> None:
    other, _ = lighthouse.listing, await lighthouse.offer_again()
    bruno, _ = await lighthouse.buyer()
    await give_away(lighthouse, bruno, 5)
    wanted = PurchaseListing(listing_id=other.id, expected_price="0")
    assert await raised(bruno, wanted) == "runs_stopped"
    await decide(lighthouse, Verdict.REFUND, ReasonCode.EXTRACTION)
    for listing in lighthouse.listings:
        assert await refused(lighthouse, bruno, listing_id=listing.id) == "runs_barred"
        assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="0")) == "runs_barred"
    assert (await bruno.ask(GetRunOffer(listing_id=other.id))).trials_left == 0
    assert await verified(lighthouse)


async def test_a_case_that_is_upheld_takes_the_purchases_of_linked_accounts_too_and_tells_them(
    lighthouse: Lighthouse,
) -> None:
    (bruno, _), (berta, _) = [await lighthouse.buyer(uid) for uid in ("bruno", "berta")]
    await link(lighthouse, bruno, berta)
    await give_away(lighthouse, bruno, 5)
    for one in (bruno, berta):
        assert "runs.stopped" in [notice.kind for notice in await lighthouse.market.notices(one)]
    await decide(lighthouse, Verdict.REFUND, ReasonCode.EXTRACTION)
    for one in (bruno, berta):
        (bought,) = (await one.ask(ListPurchases())).items
        assert bought.refunded_at is not None
        assert await refused(lighthouse, one) == "runs_barred"
        told = await lighthouse.market.notices(one)
        notices = [notice for notice in told if notice.kind in {"runs.decided", "purchase.refunded"}]
        assert sorted(notice.kind for notice in notices) == ["purchase.refunded", "runs.decided"]
        for notice in notices:
            assert notice.subject["reason_code"] == "extraction"
            assert f"Why (extraction): {REASONS[ReasonCode.EXTRACTION].words} Looked at." in notice.body
            assert "What you can do: " in notice.body
        path = f"/marketplace/listings/{lighthouse.listing.id}/runs/appeal"
        assert path in notices[0].body + notices[1].body
    assert await verified(lighthouse)


async def test_linked_accounts_are_counted_together_also_at_the_same_moment(lighthouse: Lighthouse) -> None:
    """Both write the document of their group: without that, two fourth matches would be no fifth."""
    people = [(await lighthouse.buyer(uid))[0] for uid in ("bruno", "berta")]
    group = min(one.user_id for one in people)
    for one in people:
        await lighthouse.collection("account_links").insert_one({"_id": one.user_id, "group": group})
    await give_away(lighthouse, people[0], 2)
    await give_away(lighthouse, people[1], 1)
    async with anyio.create_task_group() as tasks:
        for one in people:
            tasks.start_soon(give_away, lighthouse, one, 1)
    (account,) = await lighthouse.collection("sealed_accounts").find({}).to_list(None)
    assert (account["matches"], account["head"]) == (5, group)
    for one in people:
        assert await refused(lighthouse, one) == "runs_stopped"
    assert len((await open_cases(lighthouse))[1]) == 1
    await decide(lighthouse, Verdict.DISMISS, ReasonCode.UNFOUNDED)
    lighthouse.says(ANSWER)
    for one in people:
        assert (await lighthouse.run(one)).output == ANSWER


async def test_those_who_turn_out_to_be_linked_are_counted_together_from_then_on(lighthouse: Lighthouse) -> None:
    people = [(await lighthouse.buyer(uid))[0] for uid in ("bruno", "berta")]
    for one in people:
        await give_away(lighthouse, one, 2)
    for one in people:
        await lighthouse.collection("account_links").insert_one(
            {"_id": one.user_id, "group": max(other.user_id for other in people)}
        )
    await give_away(lighthouse, people[0], 1)
    assert await refused(lighthouse, people[1]) == "runs_stopped"
