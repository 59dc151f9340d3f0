"""Checkouts: the price is the server's, and one key makes one payment page."""

from __future__ import annotations

from importlib.resources import files

import pytest

from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable, WaiverOutdated
from promptforge.actors.billing.messages import (
    CheckoutView,
    CreateCheckout,
    GetCheckout,
    GetWithdrawalWaiver,
    ListCreditPacks,
)
from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest
from promptforge.actors.billing.subscriptions.messages import CreateSubscription
from promptforge.core.context import Context
from promptforge.core.errors import NotFound, PromptForgeError
from promptforge.core.mongo import Mongo, Session
from tests.integration.billing.bank import Bank, open_bank
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio


class TroubledSessions:
    """Fails as told before it works, and keeps what it was asked."""

    livemode = False

    def __init__(self, *failures: PromptForgeError) -> None:
        self._failures = list(failures)
        self.requests: list[SessionRequest] = []

    async def create(self, request: SessionRequest) -> CheckoutSession:
        self.requests.append(request)
        if self._failures:
            raise self._failures.pop(0)
        return CheckoutSession(f"cs_test_{request.idempotency_key}", "https://pay.example/")

    async def close(self) -> None:
        """There is nothing to let go of."""


async def test_packs_are_listed_for_everyone(bank: Bank) -> None:
    packs = (await bank.process.system.context(request_id="r").ask(ListCreditPacks())).packs
    assert [(pack.id, pack.total_credits, pack.price_minor_units) for pack in packs] == [
        ("pack_500", "500", 500),
        ("pack_1000", "1025", 1000),
        ("pack_5000", "5250", 5000),
    ]


async def test_a_checkout_keeps_what_was_for_sale(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user, "pack_5000")
    assert (checkout.state, checkout.amount, checkout.currency) == ("open", 5000, "usd")
    assert checkout.session_id is not None
    assert checkout.session_id.startswith("cs_test_")
    assert await bank.context(user).ask(GetCheckout(checkout_id=checkout.id)) == checkout
    row = await bank.collection("checkouts").find_one({"_id": checkout.id})
    assert row is not None
    assert row["pack"] == {
        "id": "pack_5000", "credits": 5_000_000, "bonus": 250_000, "price_minor_units": 5000, "currency": "usd",
    }  # fmt: skip


async def test_every_checkout_has_a_session_of_its_own(bank: Bank) -> None:
    user = await bank.user()
    first, second = await bank.checkout(user), await bank.checkout(user)
    assert first.session_id != second.session_id


async def test_anothers_checkout_and_an_unknown_pack_do_not_exist(bank: Bank) -> None:
    checkout = await bank.checkout(await bank.user())
    with pytest.raises(NotFound):
        await bank.context(await bank.user()).ask(GetCheckout(checkout_id=checkout.id))
    with pytest.raises(NotFound):
        await bank.context(await bank.user()).ask(CreateCheckout(pack_id="pack_free", **WAIVED))


async def test_where_the_outcome_is_unknown_the_same_key_is_sent_again(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeUnavailable(), StripeUnavailable())
    async with open_bank(mongo, sessions=sessions) as bank:
        user = await bank.user()
        for _ in range(2):
            with pytest.raises(StripeUnavailable):
                await bank.checkout(user)
        checkout = await bank.checkout(user)
        assert len({request.idempotency_key for request in sessions.requests}) == 1
        assert await bank.collection("checkouts").count_documents({}) == 1
        assert checkout.state == "open"
        other = await bank.checkout(user, "pack_1000")
        assert other.id != checkout.id


async def test_the_key_is_stored_before_stripe_hears_of_it(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeUnavailable())
    async with open_bank(mongo, sessions=sessions) as bank:
        with pytest.raises(StripeUnavailable):
            await bank.checkout(await bank.user())
        row = await bank.collection("checkouts").find_one({})
    assert row is not None
    assert (row["idempotency_key"], row["state"]) == (sessions.requests[0].idempotency_key, "creating")


class Again:
    """The same request, however often it comes."""

    effect_id = "0123456789abcdef0123456789abcdef"

    def begin(self) -> None:
        """Nothing to remember."""

    async def check(self, tx: Context) -> None:
        """There is no precondition."""

    async def complete(self, session: Session | None, result: object) -> None:
        """The reply is lost."""

    async def abandon(self) -> None:
        """Nothing was claimed."""


async def create_again(bank: Bank, user: str) -> CheckoutView:
    context = bank.context(user)
    context.request_handle = Again()
    return await context.ask(CreateCheckout(pack_id="pack_500", **WAIVED))


async def test_a_request_that_comes_again_gets_the_checkout_it_made(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeUnavailable())
    async with open_bank(mongo, sessions=sessions) as bank:
        user = await bank.user()
        with pytest.raises(StripeUnavailable):
            await create_again(bank, user)
        made = await create_again(bank, user)
        assert await create_again(bank, user) == made
        assert len({request.idempotency_key for request in sessions.requests}) == 1
        assert (await bank.checkout(user, "pack_500")).id != made.id


async def test_a_request_that_stripe_refused_may_be_tried_again(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeRefused())
    async with open_bank(mongo, sessions=sessions) as bank:
        user = await bank.user()
        with pytest.raises(StripeRefused):
            await create_again(bank, user)
        assert (await create_again(bank, user)).state == "open"
        assert len({request.idempotency_key for request in sessions.requests}) == 2


async def test_another_users_unfinished_checkout_is_left_alone(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeUnavailable())
    async with open_bank(mongo, sessions=sessions) as bank:
        with pytest.raises(StripeUnavailable):
            await bank.checkout(await bank.user())
        await bank.checkout(await bank.user())
    assert len({request.idempotency_key for request in sessions.requests}) == 2


async def test_a_key_that_stripe_has_refused_is_not_sent_again(mongo: Mongo) -> None:
    sessions = TroubledSessions(StripeRefused())
    async with open_bank(mongo, sessions=sessions) as bank:
        user = await bank.user()
        with pytest.raises(StripeRefused):
            await bank.checkout(user)
        assert (await bank.checkout(user)).state == "open"
        states = [row["state"] for row in await bank.collection("checkouts").find({}).to_list(9)]
    assert len({request.idempotency_key for request in sessions.requests}) == 2
    assert sorted(states) == ["failed", "open"]


async def test_nothing_is_sold_to_who_has_not_agreed_to_the_present_waiver(bank: Bank) -> None:
    user = await bank.user()
    with pytest.raises(WaiverOutdated) as refused:
        await bank.context(user).ask(CreateCheckout(pack_id="pack_500", withdrawal_waiver="2019-01-01"))
    shown = await bank.context().ask(GetWithdrawalWaiver())
    assert refused.value.extra == {"version": shown.version}
    assert "right of withdrawal" in shown.text
    old = CreateSubscription(plan_id="monthly_1000", withdrawal_waiver="2019-01-01")
    with pytest.raises(WaiverOutdated):
        await bank.context(user).ask(old)
    assert await bank.collection("checkouts").count_documents({}) == 0
    assert await bank.collection("stripe_customers").count_documents({}) == 0


async def test_what_was_agreed_to_and_when_is_kept_with_the_purchase(bank: Bank) -> None:
    user = await bank.user()
    before = bank.process.system.clock.now()
    checkout = await bank.checkout(user)
    row = await bank.collection("checkouts").find_one({"_id": checkout.id})
    assert row is not None
    assert row["waiver"]["version"] == WAIVED["withdrawal_waiver"]
    assert before <= row["waiver"]["accepted_at"] <= checkout.created_at


def test_every_version_of_the_waiver_has_its_text_and_the_present_one_is_the_newest() -> None:
    names = sorted(
        path.name for path in files("promptforge.actors.billing.terms").iterdir() if path.name.endswith(".md")
    )
    assert names[-1] == f"withdrawal-waiver-{WAIVED['withdrawal_waiver']}.md"
