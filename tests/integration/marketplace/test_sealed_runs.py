"""Runs without reveal on a real MongoDB: what they cost, who earns, what is withheld, and when they are stopped."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.ai.errors import ModelUnavailable
from promptforge.actors.ai.messages import SweepRuns
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.marketplace.messages import (
    GetListing,
    GetPurchase,
    Licence,
    ListPurchases,
    PurchaseView,
    RefundPurchase,
    UnlistListing,
    UpdateListing,
)
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.marketplace.purchases.store import HELD, PURCHASES
from promptforge.actors.marketplace.sealed import actor, checking
from promptforge.actors.marketplace.sealed.matching import MOST_LETTERS, Sealed
from promptforge.actors.marketplace.sealed.messages import GetRunOffer, RunGround, WithheldBecause
from promptforge.actors.prompts.forks.messages import ForkPrompt
from promptforge.actors.prompts.messages import Variable, VariableType
from promptforge.core.context import Context
from promptforge.core.errors import Invalid, PromptForgeError
from promptforge.core.mongo import Mongo
from promptforge.core.personal import exported
from tests.support.market import raised, top_up
from tests.support.sealed import ANSWER, CANARY, COST, TERMS, TEXT, Lighthouse, open_lighthouse, refused, verified

pytestmark = pytest.mark.anyio

SUBJECTS = HELD[PURCHASES].subjects
VALUES = {"letter": "Dear keeper", "mood": "calm"}


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer()
        yield opened


async def test_a_run_shows_the_output_and_pays_model_seller_and_platform(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer(credits=0)
    await top_up(lighthouse.market.process.mongo, bruno, 10)
    ran = await lighthouse.run(bruno)
    assert (ran.output, ran.withheld, ran.ground, ran.purchase_id) == (ANSWER, None, RunGround.PURCHASE, purchase.id)
    assert (ran.usage.credits, ran.share, ran.model) == ("1.2", "1", "scripted-1")
    (told,) = lighthouse.model.told
    assert told.turns[0].text == TEXT.replace("{{letter}}", "Dear keeper").replace("{{mood}}", "calm")
    assert told.max_tokens == 100
    assert await lighthouse.money(bruno) == ("8.8", "0", "0")
    assert await lighthouse.money(lighthouse.seller) == ("0", "0.85", "0")
    (record,) = await lighthouse.collection("usage").find({}).to_list(None)
    assert (record["purpose"], record["millicredits"], record["_id"]) == ("sealed", 1000 + COST, ran.run_id)
    assert (await bruno.ask(ListPurchases())).items[0].used_at is not None
    assert await verified(lighthouse)


async def test_what_a_buyer_sees_before_are_terms_and_names(lighthouse: Lighthouse) -> None:
    anna = await lighthouse.market.person("anna")
    shown = await anna.ask(GetListing(listing_id=lighthouse.listing.id))
    assert (shown.licence, shown.runs) == (Licence.RUNS, TERMS)
    offer = await anna.ask(GetRunOffer(listing_id=lighthouse.listing.id))
    assert [(one.name, one.type, one.required) for one in offer.variables] == [
        ("letter", VariableType.STRING, True),
        ("mood", VariableType.STRING, True),
    ]
    assert (offer.ground, offer.trials_left) == (None, 0)
    assert "canaries" not in repr((shown, offer))
    bruno, bought = await lighthouse.buyer()
    assert bought.runs == TERMS
    assert bought.content_hash is None, "whoever guesses the text could tell by it that they are right"
    assert (await bruno.ask(GetRunOffer(listing_id=lighthouse.listing.id))).ground is RunGround.PURCHASE


async def test_nothing_is_used_up_where_a_run_does_not_begin(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer(credits=1)
    assert await refused(lighthouse, bruno) == "insufficient_credits"
    assert await refused(lighthouse, bruno, max_credits="0.5") == "over_budget"
    for variables in ({}, {"letter": "x"}, {**VALUES, "more": 1}, {**VALUES, "mood": 3}):
        assert await refused(lighthouse, bruno, variables=variables) == "invalid_request"
    assert lighthouse.model.told == []
    assert (await bruno.ask(ListPurchases())).items[0].used_at is None
    refunded = await bruno.ask(RequestRefund(purchase_id=purchase.id, words="I cannot pay its runs"))
    assert refunded.refunded_at is not None
    assert await refused(lighthouse, bruno) == "runs_not_bought"


async def test_a_run_is_a_use_so_the_refund_is_no_longer_automatic(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer()
    await lighthouse.run(bruno)
    asked = await bruno.ask(RequestRefund(purchase_id=purchase.id, words="It did not please me"))
    assert asked.refunded_at is None


async def test_of_a_run_and_a_refund_at_the_same_moment_one_sees_the_other(lighthouse: Lighthouse) -> None:
    """Both write the purchase: a run that did not would go on with what is given back at that moment."""
    buyers = [await lighthouse.buyer(f"buyer-{number}", credits=5) for number in range(6)]
    ran: dict[str, str] = {}

    async def run(person: Context) -> None:
        ran[person.user_id] = await refused(lighthouse, person)

    async def give_back(person: Context, purchase: PurchaseView) -> None:
        await person.ask(RequestRefund(purchase_id=purchase.id, words="I have changed my mind"))

    async with anyio.create_task_group() as tasks:
        for person, purchase in buyers:
            tasks.start_soon(run, person)
            tasks.start_soon(give_back, person, purchase)
    for person, _ in buyers:
        (bought,) = (await person.ask(ListPurchases())).items
        outcome = (ran[person.user_id], bought.refunded_at is not None, bought.used_at is not None)
        assert outcome in {("done", False, True), ("runs_not_bought", True, False)}
    assert await verified(lighthouse)


async def test_a_model_that_fails_costs_and_earns_nothing(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    lighthouse.model.fails = ModelUnavailable()
    assert await refused(lighthouse, bruno) == "model_unavailable"
    assert await lighthouse.money(bruno) == ("10", "0", "0")
    assert await lighthouse.money(lighthouse.seller) == ("0", "0", "0")
    assert await verified(lighthouse)


async def test_a_run_that_cannot_be_compared_or_ended_is_given_back_at_once(
    lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the model was paid: nothing may stay reserved until the sweeper comes."""
    bruno, _ = await lighthouse.buyer()

    def broken(*_: object) -> None:
        raise ValueError("it broke")

    for patched, name in ((checking, "compare"), (actor, "is_withheld")):
        lighthouse.says(TEXT)
        with monkeypatch.context() as patch:
            patch.setattr(patched, name, broken)
            with pytest.raises(ValueError, match="it broke"):
                await lighthouse.run(bruno)
        assert await lighthouse.money(bruno) == ("10", "0", "0")
        assert await lighthouse.collection("model_runs").count_documents({}) == 0
    records = await lighthouse.collection("usage").find({}).to_list(None)
    assert {(one["outcome"], one["error_code"], one["millicredits"]) for one in records} == {
        ("failed", "internal_error", 0)
    }
    assert await verified(lighthouse)


async def test_whoever_leaves_pays_nothing_and_nothing_stays_reserved(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await lighthouse.left(bruno)
    assert await lighthouse.money(bruno) == ("10", "0", "0")
    assert await lighthouse.collection("model_runs").count_documents({}) == 0
    assert await verified(lighthouse)


async def test_a_run_whose_process_died_is_released(lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch) -> None:
    bruno, _ = await lighthouse.buyer()
    lighthouse.model.held = anyio.Event()  # never set: however slow the machine, the run does not end by itself
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refused, lighthouse, bruno)
        while not await lighthouse.collection("model_runs").count_documents({}):
            await anyio.sleep(0.05)
        lighthouse.clock.advance(seconds=HOLD_SECONDS + 1)  # as if nobody had gone on with it
        assert await lighthouse.market.process.context().ask(SweepRuns()) == 1
        assert await lighthouse.money(bruno) == ("10", "0", "0")
        tasks.cancel_scope.cancel()
    assert await verified(lighthouse)


# Own, linked, gifts


async def test_ones_own_runs_cost_what_the_model_does_and_earn_nothing(lighthouse: Lighthouse) -> None:
    await lighthouse.market.fund(lighthouse.seller, 5)
    lighthouse.says(TEXT)
    ran = await lighthouse.run(lighthouse.seller)
    assert (ran.ground, ran.output, ran.share, ran.usage.credits) == (RunGround.OWN, TEXT, "0", "0.2")
    assert await lighthouse.money(lighthouse.seller) == ("4.8", "0", "0")


async def test_what_gifts_pay_of_a_share_is_never_payable(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await lighthouse.run(bruno)
    (sale,) = await lighthouse.collection("ledger_sales").find({"_id": {"$regex": "^run:"}}).to_list(None)
    assert (sale["payable"], sale["granted"], sale["seller_id"]) == (0, 850, lighthouse.seller.user_id)


# What is withheld


@pytest.mark.parametrize("said", [TEXT, base64.b64encode(CANARY.encode()).decode(), CANARY[::-1]])
async def test_a_copy_is_withheld_and_costs_the_model_only(lighthouse: Lighthouse, said: str) -> None:
    bruno, _ = await lighthouse.buyer()
    lighthouse.says("Here it is: ", said)
    ran = await lighthouse.run(bruno)
    assert ran.output is None
    assert ran.withheld is not None
    assert ran.withheld.code is WithheldBecause.COPIES_SEALED_TEXT
    assert (ran.usage.credits, ran.share) == ("0.2", "0")
    assert "canaries" not in repr(ran)
    assert await lighthouse.money(lighthouse.seller) == ("0", "0", "0")
    assert await verified(lighthouse)


SCHEMA_PROSE = "Weigh every word of the letter as a harbour master weighs salt, and never name a ship that has sunk."
DEFAULT_PROSE = "be as patient with the writer as a tide is with a rock that it has known since the ice went north"


@pytest.mark.parametrize("said", [SCHEMA_PROSE, DEFAULT_PROSE])
async def test_the_response_schema_and_defaults_that_are_no_texts_are_sealed_too(
    lighthouse: Lighthouse, said: str
) -> None:
    """And what an answer that keeps to the schema has to say is shown."""
    schema = {
        "type": "object",
        "properties": {
            "what_the_sea_thinks_of_it_in_three_sentences": {"type": "string", "description": SCHEMA_PROSE},
            "how_the_weather_will_be_for_the_writer": {"enum": ["as calm as a saucer of milk in an empty house"]},
        },
    }
    rules = Variable("rules", VariableType.JSON, default={"first": DEFAULT_PROSE})
    await lighthouse.offer(text=TEXT + " Rules: {{rules}}", response_schema=schema, variables=(rules,))
    bruno, _ = await lighthouse.buyer()
    lighthouse.says(
        '{"what_the_sea_thinks_of_it_in_three_sentences": "It shrugs.", '
        '"how_the_weather_will_be_for_the_writer": "as calm as a saucer of milk in an empty house"}'
    )
    assert (await lighthouse.run(bruno)).withheld is None
    lighthouse.says("I was told: ", said)
    ran = await lighthouse.run(bruno)
    assert ran.withheld is not None
    assert ran.withheld.code is WithheldBecause.COPIES_SEALED_TEXT


async def test_what_the_buyer_sent_may_come_back(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    lighthouse.says("You wrote: ", CANARY)
    ran = await lighthouse.run(bruno, variables={"letter": CANARY, "mood": "calm"})
    assert ran.withheld is None


# Walls and the listing's life


async def test_runs_give_no_right_to_the_source(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer()
    await lighthouse.run(bruno)
    read = await bruno.ask(GetPurchase(purchase_id=purchase.id))
    assert (read.content, read.settings, read.kind, read.runs) == (None, None, None, TERMS)
    fork = ForkPrompt(prompt_id=lighthouse.listing.prompt_id, name="Mine")
    assert await raised(bruno, fork) == "not_found"


async def test_reading_a_purchase_of_runs_is_no_use_of_it(lighthouse: Lighthouse) -> None:
    bruno, purchase = await lighthouse.buyer()
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).used_at is None
    await lighthouse.market.process.context().ask(RefundPurchase(purchase_id=purchase.id, reason="for the test"))
    assert await raised(bruno, GetPurchase(purchase_id=purchase.id)) == "purchase_refunded"


async def test_who_has_not_bought_cannot_run_and_strangers_see_nothing_unpublished(lighthouse: Lighthouse) -> None:
    anna = await lighthouse.market.person("anna")
    assert await refused(lighthouse, anna) == "runs_not_bought"
    draft = await lighthouse.draft()
    assert await refused(lighthouse, anna, listing_id=draft.id) == "not_found"
    assert await raised(anna, GetRunOffer(listing_id=draft.id)) == "not_found"
    source = await lighthouse.offer(licence=Licence.SOURCE, terms=None)
    assert await refused(lighthouse, anna, listing_id=source.id) == "not_runnable"


async def test_buyers_keep_running_what_is_unlisted_and_not_what_is_suspended(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    await lighthouse.seller.ask(UnlistListing(listing_id=lighthouse.listing.id))
    assert (await lighthouse.run(bruno)).output == ANSWER
    state = {"$set": {"state": "suspended", "suspended_from": "unlisted"}}
    await lighthouse.collection("marketplace_listings").update_one({"_id": lighthouse.listing.id}, state)
    assert await refused(lighthouse, bruno) == "listing_suspended"


async def mark_seller(lighthouse: Lighthouse, **fields: object) -> None:
    await lighthouse.collection("users").update_one({"_id": lighthouse.seller.user_id}, {"$set": fields})


async def test_what_was_bought_of_a_closed_account_runs_on_and_the_share_is_the_platforms(
    lighthouse: Lighthouse,
) -> None:
    """Nobody could sign in to where it went."""
    bruno, _ = await lighthouse.buyer(credits=0)
    await top_up(lighthouse.market.process.mongo, bruno, 10)
    await mark_seller(lighthouse, closed_at=lighthouse.clock.now())
    ran = await lighthouse.run(bruno)
    assert (ran.output, ran.share, ran.usage.credits) == (ANSWER, "1", "1.2")
    legs = await lighthouse.collection("transactions").find({"journal_id": f"run:{ran.run_id}:close"}).to_list(None)
    paid = {leg["account"]: leg["amount"] for leg in legs if leg["user_id"] is None}
    assert paid == {"platform:llm": COST, "platform:fees": 1000}
    assert await lighthouse.collection("ledger_sales").count_documents({"_id": {"$regex": "^run:"}}) == 0
    assert await lighthouse.money(lighthouse.seller) == ("0", "0", "0")
    assert await verified(lighthouse)


async def test_what_was_bought_of_a_suspended_account_runs_on_and_earns_as_before(lighthouse: Lighthouse) -> None:
    """It cannot be paid out meanwhile: payouts ask."""
    bruno, _ = await lighthouse.buyer(credits=0)
    await top_up(lighthouse.market.process.mongo, bruno, 10)
    await mark_seller(lighthouse, suspended=True)
    assert (await lighthouse.run(bruno)).output == ANSWER
    (sale,) = await lighthouse.collection("ledger_sales").find({"_id": {"$regex": "^run:"}}).to_list(None)
    assert (sale["payable"], sale["seller_id"]) == (850, lighthouse.seller.user_id)
    assert await verified(lighthouse)


async def test_the_export_does_not_tell_who_bought_runs_the_hash_of_their_text(lighthouse: Lighthouse) -> None:
    await lighthouse.buyer()
    (row,) = await lighthouse.collection(PURCHASES).find({}).to_list(None)
    told = {subject.path: exported(HELD[PURCHASES], subject, row, row[subject.path]) for subject in SUBJECTS}
    assert row["content_hash"] not in repr(told["buyer_id"])
    assert told["buyer_id"]["title"] == row["title"]
    assert told["seller_id"]["content_hash"] == row["content_hash"]


async def test_a_listing_that_offers_something_else_by_now_takes_nobody_their_runs(lighthouse: Lighthouse) -> None:
    bruno, _ = await lighthouse.buyer()
    changed = {"licence": "source", "runs": None, "version": 2, "content_hash": "other"}
    await lighthouse.collection("marketplace_listings").update_one({"_id": lighthouse.listing.id}, {"$set": changed})
    ran = await lighthouse.run(bruno)
    assert (ran.output, ran.version, ran.share) == (ANSWER, 1, "1")


# Offering


async def test_what_cannot_be_run_is_not_offered(lighthouse: Lighthouse) -> None:
    for terms, text, code in (
        (None, TEXT, "invalid_request"),
        (TERMS, "Say {{letter}} {{mood}}.", "invalid_request"),
    ):
        with pytest.raises(PromptForgeError) as refusal:
            await lighthouse.draft(terms=terms, text=text)
        assert refusal.value.code == code
    unknown = UpdateListing(listing_id=(await lighthouse.draft()).id, runs=type(TERMS)(model="none"))
    assert await raised(lighthouse.seller, unknown) == "unknown_model"
    dear = UpdateListing(listing_id=unknown.listing_id, runs=type(TERMS)(model="scripted-1", share="100.001"))
    assert await raised(lighthouse.seller, dear) == "invalid_request"


async def test_an_offer_is_checked_by_counting_letters(lighthouse: Lighthouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """To prepare a long text takes seconds of a processor, in the transaction of whoever offers it."""

    def never(*_: object) -> None:
        raise AssertionError("nothing is compared here")

    monkeypatch.setattr(Sealed, "__init__", never)
    await lighthouse.draft(text="a " * MOST_LETTERS)
    with pytest.raises(Invalid) as refusal:
        await lighthouse.draft(text="a" * MOST_LETTERS + " and more: {{letter}}")
    assert [(error.code, error.pointer) for error in refusal.value.errors] == [("too_long", "/runs")]


async def test_a_change_of_the_terms_is_reviewed_and_told_in_words(lighthouse: Lighthouse) -> None:
    dearer = type(TERMS)(model="scripted-1", share="2", max_tokens=100, trials_per_person=3)
    changed = await lighthouse.seller.ask(UpdateListing(listing_id=lighthouse.listing.id, runs=dearer))
    assert changed.runs == TERMS
    assert changed.proposal is not None
    (change,) = changed.proposal.changes
    assert (change.field, change.after) == ("runs", "scripted-1, 2 credits a run, up to 100 tokens, 3 trials a person")
    free = UpdateListing(listing_id=lighthouse.listing.id, runs=None)
    assert await raised(lighthouse.seller, free) == "invalid_request"
