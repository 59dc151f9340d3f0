"""Debts that were written off and large gifts, otherwise than two operators agreed, are found by name."""

from __future__ import annotations

import pytest

from promptforge.actors.billing.ledger.messages import AdjustmentKind, ApproveAdjustment, RequestAdjustment
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank
from tests.integration.billing.forging import Forged, forge, found

pytestmark = pytest.mark.anyio


@pytest.fixture
async def books(bank: Bank) -> Bank:
    """usr_0001 owed 7, of which 5 were written off, and was given 20; a small gift is nobody's matter."""
    user = await bank.user(granted=3)
    await bank.owe(user, 10)
    for kind, amount in ((AdjustmentKind.WRITE_OFF, "5"), (AdjustmentKind.GRANT, "20")):
        await adjust(bank, kind, amount)
    assert await found(bank) == set()
    return bank


async def adjust(bank: Bank, kind: AdjustmentKind, amount: str, *, approve: bool = True) -> str:
    ann, bob = bank.context("usr_ann", Role.OPERATOR), bank.context("usr_bob", Role.OPERATOR)
    asked = await ann.ask(RequestAdjustment(kind=kind, user_id="usr_0001", amount=amount, reason="It is fair"))
    if approve:
        await bob.ask(ApproveAdjustment(adjustment_id=asked.id))
    return asked.id


async def id_of(bank: Bank, kind: str) -> str:
    row = await bank.collection("ledger_adjustments").find_one({"kind": kind})
    assert row is not None
    identifier: str = row["_id"]
    return identifier


async def test_a_debt_that_nobody_wrote_off_is_found(books: Bank) -> None:
    legs = [Forged("platform:losses", -1_000), Forged("debt", 1_000, "usr_0001")]
    await forge(books, "writeoff:adj_forged", "write_off", legs)
    assert await found(books) == {("adjustment", "adj_forged")}


async def test_one_that_was_only_asked_for_is_found(books: Bank) -> None:
    asked = await adjust(books, AdjustmentKind.WRITE_OFF, "1", approve=False)
    legs = [Forged("platform:losses", -1_000), Forged("debt", 1_000, "usr_0001")]
    await forge(books, f"writeoff:{asked}", "write_off", legs, adjustment_id=asked)
    assert await found(books) == {("adjustment", asked)}


async def test_a_large_gift_that_nobody_made_is_found(books: Bank) -> None:
    for key, refs in (("grant:adj_forged", {}), ("grant:grt_forged", {"adjustment_id": await id_of(books, "grant")})):
        legs = [Forged("platform:grants", -9_000), Forged("granted", 9_000, "usr_0001", key)]
        await forge(books, key, "grant", legs, **refs)
    assert await found(books) == {("adjustment", "adj_forged"), ("not_theirs", "grant:grt_forged")}


@pytest.mark.parametrize("kind", ["write_off", "grant"])
@pytest.mark.parametrize(
    "change",
    [{"amount": 4_000}, {"user_id": "usr_0002"}, {"state": "rejected"}, {"decided_by": "usr_ann"}, {"kind": "other"}],
    ids=lambda change: next(iter(change)),
)
async def test_what_was_agreed_otherwise_is_found(books: Bank, kind: str, change: dict[str, object]) -> None:
    adjustment = await id_of(books, kind)
    await books.collection("ledger_adjustments").update_one({"_id": adjustment}, {"$set": change})
    assert await found(books) == {("adjustment", adjustment)}


async def test_what_was_approved_and_not_carried_out_is_found(books: Bank) -> None:
    asked = await adjust(books, AdjustmentKind.WRITE_OFF, "1", approve=False)
    assert await found(books) == set()
    await books.collection("ledger_adjustments").update_one({"_id": asked}, {"$set": {"state": "approved"}})
    assert await found(books) == {("adjustment", asked)}
