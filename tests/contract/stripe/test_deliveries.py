"""How events reach an endpoint: signed, at least once, in no particular order, and not always."""

from __future__ import annotations

import pytest

from tests.support.stripe_sandbox import Till, until

pytestmark = pytest.mark.anyio


async def test_an_endpoint_that_fails_is_tried_again_until_it_answers_well(till: Till) -> None:
    till.received.answers = [500, 404, 302, 200]
    await till.client.v1.customers.create_async({})
    event = await till.received.until("customer.created")
    assert till.received.refused == ["customer.created"] * 3
    (delivery,) = (await till.control("/deliveries", method="GET"))["deliveries"]
    assert (delivery["event"], delivery["state"]) == (event["id"], "delivered")
    assert delivery["statuses"] == [500, 404, 302, 200]


async def test_an_endpoint_that_never_answers_well_is_given_up_and_can_be_told_again(till: Till) -> None:
    till.received.answers = [500] * 6
    await till.client.v1.customers.create_async({})
    await until(lambda: [one.state for one in till.sandbox.deliveries.kept] == ["given up"])
    (event,) = (await till.client.v1.events.list_async({"delivery_success": False})).data
    await till.control(f"/events/{event.id}/resend")
    assert (await till.received.until("customer.created"))["id"] == event.id


async def test_duplicates_are_the_same_event(till: Till) -> None:
    await till.control("/deliveries/faults", {"kind": "duplicate", "type": "customer.*", "copies": 4})
    await till.client.v1.customers.create_async({})
    await till.received.until("customer.created", times=5)
    assert len({event["id"] for event in till.received.events}) == 1
    await till.client.v1.customers.create_async({})
    await till.received.until("customer.created", times=6)


async def test_what_is_lost_is_in_the_list_of_events(till: Till) -> None:
    await till.control("/deliveries/faults", {"kind": "lose", "type": "customer.created"})
    customer = await till.client.v1.customers.create_async({})
    await till.client.v1.products.create_async({"name": "p"})
    await till.received.until("product.created")
    await till.quiet()
    assert till.received.types() == ["product.created"]
    listed = await till.client.v1.events.list_async({"type": "customer.created"})
    assert [event.data.object["id"] for event in listed.data] == [customer.id]


async def test_events_are_held_and_come_in_another_order(till: Till) -> None:
    await till.control("/deliveries/faults", {"kind": "reorder", "times": 5, "seconds": 60})
    made = [(await till.client.v1.customers.create_async({})).id for _ in range(4)]
    assert till.received.events == []
    made.append((await till.client.v1.customers.create_async({})).id)
    await till.received.until("customer.created", times=5)
    came = [event["data"]["object"]["id"] for event in till.received.events]
    assert sorted(came) == sorted(made)
    assert came != made


async def test_a_delayed_event_lets_later_ones_pass_and_comes(till: Till) -> None:
    for seconds in (0.3, 3600):
        await till.control("/deliveries/faults", {"kind": "delay", "type": "customer.created", "seconds": seconds})
        await till.client.v1.customers.create_async({})
    await till.client.v1.products.create_async({"name": "p"})
    await till.received.until("product.created")
    await till.received.until("customer.created")
    assert sorted(till.received.types()) == ["customer.created", "product.created"], "the other one takes an hour"


async def test_nothing_is_sent_while_deliveries_are_paused(till: Till) -> None:
    await till.control("/deliveries", {"paused": True})
    await till.client.v1.customers.create_async({})
    assert (await till.control("", method="GET"))["undelivered"] == 1
    await till.control("/deliveries", {"paused": False})
    await till.received.until("customer.created")


async def test_the_list_of_events_has_pages_types_and_times(till: Till) -> None:
    began = till.sandbox.world.now()
    made = [(await till.client.v1.customers.create_async({})).id for _ in range(5)]
    await till.control("/clock", {"seconds": 100})
    late = await till.client.v1.products.create_async({"name": "p"})

    paged = await till.client.v1.events.list_async({"type": "customer.created", "limit": 2})
    assert paged.has_more
    seen = [event.data.object["id"] async for event in paged.auto_paging_iter()]
    assert seen == made[::-1]

    after = await till.client.v1.events.list_async({"created": {"gte": began + 100}})
    assert [event.data.object["id"] for event in after.data] == [late.id]
    both = await till.client.v1.events.list_async({"types": ["product.created", "customer.created"], "limit": 100})
    assert len(both.data) == 6
    await till.control("/clock", {"seconds": 31 * 86_400})
    assert (await till.client.v1.events.list_async()).data == []
