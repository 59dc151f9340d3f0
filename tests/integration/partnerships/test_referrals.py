"""Whom a link brought: the first touch counts, for thirty days, and nobody refers themselves or in a circle."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.partnerships.referrals.domain import MOST_ACTIVE
from promptforge.actors.partnerships.referrals.messages import (
    ClaimReferral,
    CreateReferralCode,
    DeactivateReferralCode,
    FindReferral,
    FollowReferralLink,
    GetReferral,
    ListReferralCodes,
)
from promptforge.actors.partnerships.referrals.store import CLICKS
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from tests.integration.marketplace.branches import Branches, all_at_once, open_branches
from tests.integration.partnerships.partners import partner
from tests.integration.partnerships.referred import (
    Affiliate,
    admin_of,
    affiliate,
    buyer_of,
    comes_by,
    lift,
    suspend,
    touch,
)
from tests.support.market import raised
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


async def learn(branches: Branches, person: Context, instrument: str) -> None:
    links = LinkStore(branches.mongo)
    await person.transaction(lambda tx: learn_instruments(links, person.user_id, [instrument], tx))


async def found(branches: Branches, buyer: Context, seller: str = "usr_seller") -> str | None:
    """The code that a sale of now would pay for."""
    root = branches.here.process.context()
    referral = await root.ask(FindReferral(buyer_id=buyer.user_id, seller_id=seller))
    return None if referral is None else referral.code


# Codes


async def test_a_code_is_made_by_choice_or_at_random_and_listed(branches: Branches) -> None:
    pat = await affiliate(branches, "pat", "Prompt-Review")
    made = await pat.context.ask(CreateReferralCode(partner_id=pat.partner_id, label="The letter"))
    listed = await pat.context.ask(ListReferralCodes(partner_id=pat.partner_id))
    assert [one.code for one in listed.items] == [made.code, "prompt-review"]
    assert len(made.code) == 10
    assert listed.items[1].link.endswith("/r/prompt-review")


@pytest.mark.parametrize("code", ["promptforge", "PromptForge-deals", "prornptforge", "0fficial", "admin-1", "supp0rt"])
async def test_words_of_the_house_and_what_looks_like_them_are_no_codes(branches: Branches, code: str) -> None:
    pat = await branches.here.person("pat")
    made = await partner(pat, await admin_of(branches))
    assert await raised(pat, CreateReferralCode(partner_id=made.id, code=code)) == "invalid_request"


async def test_nobody_gets_a_code_that_looks_like_somebody_elses_also_not_a_given_up_one(branches: Branches) -> None:
    pat = await affiliate(branches, "pat", "modern-1")
    quinn = await affiliate(branches, "quinn")
    for code in ("modern-1", "MODERN-1", "modem-l", "m0dern-i"):
        assert await raised(quinn.context, CreateReferralCode(partner_id=quinn.partner_id, code=code)) == "code_taken"
    await pat.context.ask(DeactivateReferralCode(partner_id=pat.partner_id, code="modern-1"))
    again = CreateReferralCode(partner_id=quinn.partner_id, code="modern-1")
    assert await raised(quinn.context, again) == "code_taken"
    assert await raised(pat.context, FollowReferralLink(code="modem-l")) == "not_found", "it only looks like one"


async def test_twenty_who_want_a_code_at_once_and_one_gets_it(branches: Branches) -> None:
    partners = [await affiliate(branches, f"pat{number}") for number in range(4)]
    asks = []
    for one in partners:
        elsewhere = await branches.there.person(one.context.principal.uid if one.context.principal else "")
        for context in (one.context, elsewhere):
            asks += [(context, CreateReferralCode(partner_id=one.partner_id, code="wanted"))] * 2
    assert await all_at_once(asks) == {"done": 1, "code_taken": 15}


async def test_a_partner_has_so_many_codes_and_no_more_whoever_asks_at_once(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    for _ in range(MOST_ACTIVE - 3):
        await pat.context.ask(CreateReferralCode(partner_id=pat.partner_id))
    there = await branches.there.person("pat")
    ask = CreateReferralCode(partner_id=pat.partner_id)
    outcomes = await all_at_once([(context, ask) for context in (pat.context, there) for _ in range(4)])
    assert outcomes == {"done": 2, "too_many_codes": 6}


async def test_only_who_earns_makes_codes_and_only_their_own(branches: Branches) -> None:
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    assert await raised(quinn.context, CreateReferralCode(partner_id=pat.partner_id)) == "not_found"
    assert await raised(quinn.context, ListReferralCodes(partner_id=pat.partner_id)) == "not_found"
    stop = DeactivateReferralCode(partner_id=quinn.partner_id, code=pat.code)
    assert await raised(quinn.context, stop) == "not_found"
    await suspend(branches, pat)
    assert await raised(pat.context, CreateReferralCode(partner_id=pat.partner_id)) == "not_a_partner"


# Touches


async def test_the_first_touch_counts_and_no_later_one_replaces_it(branches: Branches, clock: SteppedClock) -> None:
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    first = await touch(branches, pat)
    clock.advance(days=3)
    second = await touch(branches, quinn)
    bruno = await branches.here.person("bruno")
    claimed = await bruno.ask(ClaimReferral(tokens=(second, first)))
    assert (claimed.value.code, claimed.new) == (pat.code, True)
    assert claimed.value.until - claimed.value.touched_at == timedelta(days=30)
    clock.advance(days=1)
    again = await bruno.ask(ClaimReferral(tokens=(await touch(branches, quinn),)))
    assert (again.value, again.new) == (claimed.value, False)
    clock.advance(days=60)
    late = await bruno.ask(ClaimReferral(tokens=(await touch(branches, quinn),)))
    assert (late.value, late.new) == (claimed.value, False), "for good, also when it has run out"
    assert await bruno.ask(GetReferral()) == claimed.value


async def test_the_thirty_days_begin_with_the_touch_however_late_it_is_handed_in(
    branches: Branches, clock: SteppedClock
) -> None:
    pat = await affiliate(branches, "pat")
    token = await touch(branches, pat)
    clock.advance(days=29, hours=23)
    bruno = await branches.here.person("bruno")
    await bruno.ask(ClaimReferral(tokens=(token,)))
    assert await found(branches, bruno) == pat.code
    clock.advance(hours=1)
    assert await found(branches, bruno) is None
    carl = await branches.here.person("carl")
    assert await raised(carl, ClaimReferral(tokens=(token,))) == "referral_expired"


async def test_what_no_link_has_given_away_counts_for_nothing(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    token, bruno = await touch(branches, pat), await branches.here.person("bruno")
    said, tag = token.split(".")
    for forged in (
        "",
        "x",
        said,
        f"{said}.",
        f".{tag}",
        f"{said[:-1]}A.{tag}",
        f"{said}.{tag[:-2]}AA",
        token + "=",
        "é",
    ):
        assert await raised(bruno, ClaimReferral(tokens=(forged,))) == "not_a_referral"
    assert await raised(bruno, GetReferral()) == "not_found"
    claimed = await bruno.ask(ClaimReferral(tokens=("x", token, f"{said}.")))
    assert claimed.value.code == pat.code, "what was made up hides nothing"


async def test_a_touch_that_brings_to_nobody_hides_none_that_does(branches: Branches, clock: SteppedClock) -> None:
    """The visitor's own, a suspended partner's, an inactive code's, a circle's; then two that are good."""
    mia = await affiliate(branches, "mia")
    below = await affiliate(branches, "below")
    await comes_by(branches, mia, below.context)
    others = [await affiliate(branches, name) for name in ("gone", "stopped", "good", "later")]
    gone, stopped, good, later = others
    tokens = []
    for one in (mia, below, *others):
        tokens.append(await touch(branches, one))
        clock.advance(hours=1)
    await suspend(branches, gone)
    await stopped.context.ask(DeactivateReferralCode(partner_id=stopped.partner_id, code=stopped.code))
    dead = tokens[:4]
    assert await raised(mia.context, ClaimReferral(tokens=tuple(dead))) == "circular_referral"
    assert await raised(mia.context, ClaimReferral(tokens=(tokens[0], *dead[2:]))) == "self_referral"
    assert await raised(mia.context, ClaimReferral(tokens=("made.up", *dead[2:]))) == "referral_not_active"
    claimed = await mia.context.ask(ClaimReferral(tokens=tuple(reversed(tokens))))
    assert (claimed.value.code, claimed.new) == (good.code, True)
    assert claimed.value.code != later.code


async def test_who_signs_up_after_the_touch_is_told_from_who_was_here_before(branches: Branches) -> None:
    pat, before = await affiliate(branches, "pat"), await branches.here.person("before")
    assert not (await comes_by(branches, pat, before)).signed_up
    token = await touch(branches, pat)
    after = await branches.here.person("after")
    assert (await after.ask(ClaimReferral(tokens=(token,)))).value.signed_up


async def test_the_same_claim_fifty_times_at_once_from_two_processes_is_made_once(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    tokens = (await touch(branches, pat),)
    here, there = await branches.person("bruno")
    made: list[bool] = []

    class Claimed:
        def __init__(self, context: Context) -> None:
            self._context = context

        async def ask(self, message: ClaimReferral) -> None:
            made.append((await self._context.ask(message)).new)

    asks = [(Claimed(context), ClaimReferral(tokens=tokens)) for context in (here, there) for _ in range(25)]
    assert await all_at_once(asks) == {"done": 50}  # type: ignore[arg-type]  # it is asked, and no more
    assert made.count(True) == 1
    assert await branches.count("referral_attributions") == 1


async def test_a_link_brings_nobody_where_its_code_or_its_partner_is_not_active(branches: Branches) -> None:
    pat, bruno = await affiliate(branches, "pat"), await branches.here.person("bruno")
    token = await touch(branches, pat)
    await suspend(branches, pat)
    assert await raised(bruno, FollowReferralLink(code=pat.code)) == "not_found"
    assert await raised(bruno, ClaimReferral(tokens=(token,))) == "referral_not_active"
    await lift(branches, pat)
    await pat.context.ask(DeactivateReferralCode(partner_id=pat.partner_id, code=pat.code))
    assert await raised(bruno, FollowReferralLink(code=pat.code)) == "not_found"
    assert await raised(bruno, ClaimReferral(tokens=(token,))) == "referral_not_active"


async def test_a_deactivated_code_still_earns_of_whom_it_has_brought(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    bruno = await buyer_of(branches, pat)
    await pat.context.ask(DeactivateReferralCode(partner_id=pat.partner_id, code=pat.code))
    assert await found(branches, bruno) == pat.code


async def test_clicks_are_counted_without_a_write_for_each_and_written_when_the_process_stops(mongo: Mongo) -> None:
    async with open_branches(mongo) as branches:
        pat = await affiliate(branches, "pat")
        for _ in range(10):
            await touch(branches, pat)
        there = await branches.there.person("visitor")
        await there.ask(FollowReferralLink(code=pat.code))
    (row,) = await mongo.collection(CLICKS).find({}).to_list(10)
    assert (row["partner_id"], row["code"], row["clicks"]) == (pat.partner_id, pat.code, 11)


# Nobody refers themselves


async def test_nobody_refers_themselves_or_an_account_with_their_card(branches: Branches) -> None:
    pat, other = await affiliate(branches, "pat"), await branches.here.person("other")
    tokens = (await touch(branches, pat),)
    assert await raised(pat.context, ClaimReferral(tokens=tokens)) == "self_referral"
    for person in (pat.context, other):
        await learn(branches, person, "card:1")
    assert await raised(other, ClaimReferral(tokens=tokens)) == "self_referral"


async def test_a_referrer_who_sells_it_or_came_by_the_buyer_is_paid_nothing(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    bruno = await buyer_of(branches, pat)
    assert await found(branches, bruno) == pat.code
    assert await found(branches, bruno, seller=pat.context.user_id) is None
    # It cannot come to this by claims; so it is written.
    row = await branches.mongo.collection("referral_attributions").find_one({"_id": bruno.user_id})
    assert row is not None
    back = {**row, "_id": pat.context.user_id, "referrer_id": bruno.user_id}
    await branches.mongo.collection("referral_attributions").insert_one(back)
    assert await found(branches, bruno) is None


async def chain(branches: Branches, length: int) -> list[Affiliate]:
    """Each came by the one before."""
    partners = [await affiliate(branches, f"pat{number}") for number in range(length)]
    for above, below in pairwise(partners):
        await comes_by(branches, above, below.context)
    return partners


@pytest.mark.parametrize("length", [2, 3, 5])
async def test_nobody_comes_by_somebody_whom_they_have_brought_directly_or_through_others(
    branches: Branches, length: int
) -> None:
    partners = await chain(branches, length)
    tokens = (await touch(branches, partners[-1]),)
    assert await raised(partners[0].context, ClaimReferral(tokens=tokens)) == "circular_referral"


async def test_an_account_with_the_card_of_somebody_in_the_chain_closes_no_circle_either(branches: Branches) -> None:
    first, *_, last = await chain(branches, 3)
    other = await branches.here.person("other")
    for person in (first.context, other):
        await learn(branches, person, "card:1")
    assert await raised(other, ClaimReferral(tokens=(await touch(branches, last),))) == "circular_referral"


async def test_a_chain_goes_on_through_the_accounts_of_one_person(branches: Branches) -> None:
    """Bob came by Ada, and it is Bob's other account whose link Mia followed: Ada does not come by Mia."""
    ada, bob = await chain(branches, 2)
    other, mia = await affiliate(branches, "bob-again"), await affiliate(branches, "mia")
    for person in (bob.context, other.context):
        await learn(branches, person, "card:1")
    await comes_by(branches, other, mia.context)
    claim = ClaimReferral(tokens=(await touch(branches, mia),))
    assert await raised(ada.context, claim) == "circular_referral"
    buyer = await buyer_of(branches, mia, "buyer")
    assert await found(branches, buyer) == mia.code, "nobody else is in that circle"


@pytest.mark.parametrize("length", [2, 3])
async def test_a_circle_through_the_accounts_of_one_person_is_not_closed_from_two_sides(
    branches: Branches, length: int
) -> None:
    """Each of the claims is of another account than the one whose link the other follows."""
    asks = []
    for ring in range(4):
        people = [
            [await affiliate(branches, f"pat{ring}-{one}-{account}") for account in range(2)] for one in range(length)
        ]
        for number, accounts in enumerate(people):
            for account in accounts:
                await learn(branches, account.context, f"card:{ring}-{number}")
        for number, (claims, _) in enumerate(people):
            where = branches.here if number % 2 else branches.there
            tokens = (await touch(branches, people[(number + 1) % length][1]),)
            name = claims.context.principal.uid if claims.context.principal else ""
            asks.append((await where.person(name), ClaimReferral(tokens=tokens)))
    assert await all_at_once(asks) == {"done": 4 * (length - 1), "circular_referral": 4}


@pytest.mark.parametrize("length", [2, 3, 4])
async def test_a_circle_that_is_closed_from_all_sides_at_once_stays_open(branches: Branches, length: int) -> None:
    """None of the claims sees the others when it begins. Without the turns that they take some circles close."""
    asks = []
    rings = [[await affiliate(branches, f"pat{ring}-{one}") for one in range(length)] for ring in range(4)]
    for ring in rings:
        for number, one in enumerate(ring):
            where = branches.here if number % 2 else branches.there
            tokens = (await touch(branches, ring[(number + 1) % length]),)
            name = one.context.principal.uid if one.context.principal else ""
            asks.append((await where.person(name), ClaimReferral(tokens=tokens)))
    assert await all_at_once(asks) == {"done": 4 * (length - 1), "circular_referral": 4}


# One person with several accounts


async def test_who_was_brought_is_not_brought_again_by_another_account_of_theirs(
    branches: Branches, clock: SteppedClock
) -> None:
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    one, two, three = [await branches.here.person(name) for name in ("one", "two", "three")]
    await comes_by(branches, pat, one)
    for person, instrument in ((one, "card:1"), (two, "card:1"), (two, "bank:2"), (three, "bank:2")):
        await learn(branches, person, instrument)
    for days in (0, 40):  # also when the first attribution is over
        clock.advance(days=days)
        for person, partner_ in ((two, pat), (three, quinn)):
            claim = ClaimReferral(tokens=(await touch(branches, partner_),))
            assert await raised(person, claim) == "already_referred"
    assert await branches.count("referral_attributions") == 1


async def test_of_two_accounts_of_one_person_that_are_brought_at_once_one_is(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    one, two = await branches.here.person("one"), await branches.there.person("two")
    await learn(branches, one, "card:1")
    await learn(branches, two, "card:1")
    claims = [ClaimReferral(tokens=(await touch(branches, pat),)) for _ in range(2)]
    outcomes = await all_at_once([(one, claims[0]), (two, claims[1])])
    assert outcomes == {"done": 1, "already_referred": 1}
    assert await branches.count("referral_attributions") == 1


async def test_of_accounts_that_are_linked_after_both_were_brought_the_first_goes_on_earning(
    branches: Branches, clock: SteppedClock
) -> None:
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    two, one = await branches.here.person("two"), await branches.here.person("one")
    await comes_by(branches, pat, one)
    clock.advance(days=1)
    await comes_by(branches, quinn, two)
    assert (await found(branches, one), await found(branches, two)) == (pat.code, quinn.code)
    await learn(branches, one, "card:1")
    await learn(branches, two, "card:1")
    assert (await found(branches, one), await found(branches, two)) == (pat.code, None)
    assert (await two.ask(GetReferral())).code == quinn.code, "what was attributed stays"
    clock.advance(days=29)
    assert (await found(branches, one), await found(branches, two)) == (None, None), "nobody anything, ever again"
