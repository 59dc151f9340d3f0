"""What goes wrong with calls: refusals, time-outs and broken connections, before and after the effect."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
import stripe

from tests.support.stripe_sandbox import API_KEY, Till, sdk, until, was_replayed

pytestmark = pytest.mark.anyio


async def customers(till: Till) -> int:
    return len((await till.client.v1.customers.list_async({"limit": 100})).data)


@pytest.mark.parametrize(("kind", "error"), [("rate_limit", stripe.RateLimitError), ("conflict", stripe.APIError)])
async def test_what_is_refused_before_anything_happens_can_be_tried_with_the_same_key(
    till: Till, kind: str, error: type[Exception]
) -> None:
    await till.control("/faults", {"operation": "customers.create", "kind": kind})
    with pytest.raises(error):
        await till.client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert await customers(till) == 0
    await till.client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert await customers(till) == 1


@pytest.mark.parametrize(("after", "made"), [(False, 0), (True, 1)])
async def test_a_server_error_is_kept_with_its_key_whether_or_not_something_happened(
    till: Till, *, after: bool, made: int
) -> None:
    await till.control("/faults", {"operation": "customers.create", "kind": "server_error", "after": after})
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            await till.client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert await customers(till) == made


@pytest.mark.parametrize("kind", ["timeout", "disconnect"])
@pytest.mark.parametrize("after", [False, True])
async def test_an_answer_that_never_came_is_replayed_to_the_same_key(till: Till, kind: str, *, after: bool) -> None:
    await till.control("/faults", {"operation": "customers.create", "kind": kind, "after": after})
    async with sdk(till.sandbox.url, seconds=1.0) as impatient:
        with pytest.raises(stripe.APIConnectionError):
            await impatient.v1.customers.create_async({"name": "a"}, {"idempotency_key": "k"})
    await until(lambda: not till.sandbox.faults.planned)
    assert await customers(till) == int(after)
    made = await till.client.v1.customers.create_async({"name": "a"}, {"idempotency_key": "k"})
    assert await customers(till) == 1
    assert was_replayed(made) is after


async def test_the_sdk_gets_over_a_lost_answer_by_itself(till: Till) -> None:
    await till.control("/faults", {"operation": "customers.*", "kind": "disconnect", "after": True})
    async with sdk(till.sandbox.url, retries=2) as patient:
        await patient.v1.customers.create_async({"name": "a"})
    assert await customers(till) == 1


async def test_a_key_cannot_be_used_twice_at_once(till: Till) -> None:
    await till.control("/faults", {"operation": "customers.create", "kind": "timeout", "after": True})
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": "k"}
    async with (
        anyio.create_task_group() as tasks,
        httpx.AsyncClient(base_url=till.sandbox.url, headers=headers) as http,
    ):
        tasks.start_soon(lambda: http.post("/v1/customers", data={"name": "a"}, timeout=None))
        await until(lambda: not till.sandbox.faults.planned)
        second = await http.post("/v1/customers", data={"name": "a"}, timeout=None)
        assert second.status_code == 409
        assert second.json()["error"]["code"] == "idempotency_key_in_use"
        assert second.headers["stripe-should-retry"] == "true"
        tasks.cancel_scope.cancel()
    assert await customers(till) == 1


async def test_a_refusal_of_the_business_is_kept_with_its_key(till: Till) -> None:
    account = await till.client.v1.accounts.create_async({})
    asked: Any = {"amount": 500, "currency": "usd", "destination": account.id}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await till.client.v1.transfers.create_async(asked, {"idempotency_key": "k"})
        assert refused.value.code == "balance_insufficient"
        await till.control("/funds", {"amount": 500})
    made = await till.client.v1.transfers.create_async(asked, {"idempotency_key": "another"})
    assert made.amount == 500


async def test_a_request_that_was_not_understood_leaves_its_key_free(till: Till) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await till.client.v1.products.create_async({"nonsense": "x"}, {"idempotency_key": "k"})  # type: ignore[typeddict-item]  # on purpose
    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "nonsense")
    await till.client.v1.products.create_async({"name": "p"}, {"idempotency_key": "k"})


async def test_errors_look_like_those_of_stripe(till: Till) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await till.client.v1.charges.retrieve_async("ch_none")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (404, "resource_missing", "id")
    assert (missing.value.request_id or "").startswith("req_")
    with pytest.raises(stripe.CardError) as declined:
        await till.charge(method="pm_card_chargeDeclinedInsufficientFunds")
    assert (declined.value.code, declined.value.http_status) == ("card_declined", 402)
    told: Any = declined.value.json_body
    assert told["error"]["decline_code"] == "insufficient_funds"
    async with sdk(till.sandbox.url, "sk_test_of_somebody_else") as stranger:
        with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided: sk_test_"):
            await stranger.v1.balance.retrieve_async()


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (0, "usd", "parameter_invalid_integer"),
        (100_000_000, "usd", "amount_too_large"),
        (49, "jpy", "amount_too_small"),
        (150, "isk", None),
        (500, "xxx", None),
    ],
)
async def test_amounts_follow_the_rules_of_their_currency(
    till: Till, amount: int, currency: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await till.session(amount, currency)
    assert refused.value.code == code
    assert (await till.session(500, "jpy")).amount_total == 500
    assert (await till.session(500, "isk")).amount_total == 500
