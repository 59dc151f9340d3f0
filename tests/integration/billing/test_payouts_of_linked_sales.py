"""What a refused payout would have withheld is rolled back with it, and withheld afterwards by a job."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import amounts
from tests.integration.billing.payroll import Payroll, open_payroll

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ready(mongo: Mongo) -> AsyncIterator[Payroll]:
    """A seller who has earned 85 credits from a sale, which is nobody's of theirs so far."""
    async with open_payroll(mongo) as payroll:
        await payroll.onboard()
        await payroll.run()
        yield payroll


async def turns_out_to_be_linked(payroll: Payroll) -> None:
    """With the buyer, while the sale settles: the job of the link has not seen it."""
    sale = await payroll.bank.collection("ledger_sales").find_one({})
    assert sale is not None
    for user in (sale["buyer_id"], payroll.seller):
        await payroll.bank.learn(user, "card:a")
    await payroll.bank.collection("jobs").delete_many({"kind": "billing.WithholdLinked"})


async def test_one_that_is_refused_for_what_is_withheld_by_it(ready: Payroll) -> None:
    await turns_out_to_be_linked(ready)
    with pytest.raises(InsufficientCredits):
        await ready.request("50")
    assert await ready.credits() == ("85", "0"), "rolled back"
    await ready.run()
    assert amounts(await ready.bank.credits(ready.seller)) == {"granted": "85"}
    assert await ready.ended_well()


async def test_one_that_waits_because_it_has_such_credits_set_aside(ready: Payroll) -> None:
    payout = await ready.request("50")
    await turns_out_to_be_linked(ready)
    await ready.run()
    waits = await ready.payout(payout.id)
    assert (waits.state, "cancel it" in (waits.reason or "")) == ("requested", True)
    assert amounts(await ready.bank.credits(ready.seller)) == {"granted": "35", "reserved": "50"}
    assert await ready.transfers() == []
    assert await ready.ended_well()
