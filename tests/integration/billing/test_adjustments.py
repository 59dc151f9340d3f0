"""Large grants and write-offs need two operators; small grants have a cap, for one and for a day."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from promptforge.actors.billing.errors import AdjustmentDecided, GrantTooLarge, NothingOwed, OwnAdjustment
from promptforge.actors.billing.ledger.messages import (
    AdjustmentKind,
    AdjustmentState,
    AdjustmentView,
    ApproveAdjustment,
    ListAdjustments,
    RejectAdjustment,
    RequestAdjustment,
)
from promptforge.actors.billing.messages import GrantCredits
from promptforge.core.context import Context
from promptforge.core.errors import Forbidden, Invalid, NotFound, PromptForgeError
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank, amounts

pytestmark = pytest.mark.anyio


def operator(bank: Bank, name: str) -> Context:
    return bank.context(f"usr_{name}", Role.OPERATOR)


async def ask_for(
    person: Context, user_id: str, amount: str, kind: AdjustmentKind = AdjustmentKind.GRANT
) -> AdjustmentView:
    return await person.ask(RequestAdjustment(kind=kind, user_id=user_id, amount=amount, reason="A prize was won"))


async def test_what_one_asks_for_another_approves(bank: Bank) -> None:
    user, ann, bob = await bank.user(), operator(bank, "ann"), operator(bank, "bob")
    asked = await ask_for(ann, user, "250000")
    assert (asked.state, asked.requested_by, amounts(await bank.credits(user))) == ("requested", "usr_ann", {})
    approved = await bob.ask(ApproveAdjustment(adjustment_id=asked.id))
    assert (approved.state, approved.decided_by) == ("approved", "usr_bob")
    assert amounts(await bank.credits(user)) == {"granted": "250000"}
    log = await bank.collection("audit_log").find({"target": asked.id}).sort([("_id", 1)]).to_list(9)
    assert [entry["action"] for entry in log] == ["adjustment.requested", "adjustment.approved"]
    assert (await bank.verify()).violations == ()


async def test_nobody_gives_credits_to_themselves(bank: Bank) -> None:
    admin = await bank.user()
    with pytest.raises(OwnAdjustment):
        await bank.context(admin, Role.ADMIN).ask(GrantCredits(user_id=admin, amount="5", reason="A prize was won"))
    assert amounts(await bank.credits(admin)) == {}


async def test_nobody_approves_their_own_request_or_one_for_themselves(bank: Bank) -> None:
    user, ann = await bank.user(), operator(bank, "ann")
    asked = await ask_for(ann, user, "5")
    with pytest.raises(OwnAdjustment):
        await ann.ask(ApproveAdjustment(adjustment_id=asked.id))
    with pytest.raises(OwnAdjustment):
        await bank.context(user, Role.OPERATOR).ask(ApproveAdjustment(adjustment_id=asked.id))
    assert amounts(await bank.credits(user)) == {}


async def test_of_many_who_decide_at_once_one_does(bank: Bank) -> None:
    user = await bank.user()
    asked = await ask_for(operator(bank, "ann"), user, "5")
    outcomes: Counter[str] = Counter()

    async def decide(message: ApproveAdjustment | RejectAdjustment, number: int) -> None:
        try:
            await operator(bank, f"op{number}").ask(message)
        except AdjustmentDecided:
            outcomes["too late"] += 1
        else:
            outcomes[type(message).__name__] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(decide, ApproveAdjustment(adjustment_id=asked.id), number)
            tasks.start_soon(decide, RejectAdjustment(adjustment_id=asked.id, reason="Not now"), number)
    assert outcomes["too late"] == 7
    expected = {"granted": "5"} if outcomes["ApproveAdjustment"] else {}
    assert amounts(await bank.credits(user)) == expected
    assert (await bank.verify()).ok


async def test_a_debt_is_written_off_as_the_platforms_loss(bank: Bank) -> None:
    user, ann, bob = await bank.user(), operator(bank, "ann"), operator(bank, "bob")
    await bank.owe(user, 7)
    too_much = await ask_for(ann, user, "8", AdjustmentKind.WRITE_OFF)
    with pytest.raises(NothingOwed):
        await bob.ask(ApproveAdjustment(adjustment_id=too_much.id))
    asked = await ask_for(ann, user, "7", AdjustmentKind.WRITE_OFF)
    await bob.ask(ApproveAdjustment(adjustment_id=asked.id))
    assert amounts(await bank.credits(user)) == {}
    assert await bank.balance_of("platform:losses") == -7_000
    assert (await bank.verify()).violations == ()


async def test_what_was_rejected_stays_so_with_its_reason(bank: Bank) -> None:
    user, ann, bob = await bank.user(), operator(bank, "ann"), operator(bank, "bob")
    asked = await ask_for(ann, user, "5")
    rejected = await bob.ask(RejectAdjustment(adjustment_id=asked.id, reason="Not this year"))
    assert (rejected.state, rejected.decision_reason) == ("rejected", "Not this year")
    with pytest.raises(AdjustmentDecided):
        await bob.ask(ApproveAdjustment(adjustment_id=asked.id))
    open_ones = await ann.ask(ListAdjustments(state=AdjustmentState.REQUESTED))
    assert open_ones.items == ()
    assert (await ann.ask(ListAdjustments())).items == (rejected,)


async def test_nothing_is_asked_for_by_others_for_nobody_or_of_nothing(bank: Bank) -> None:
    user, ann = await bank.user(), operator(bank, "ann")
    untrusted = bank.process.system.context(request_id="r", principal=bank.context(user).principal)
    with pytest.raises(Forbidden):
        await ask_for(untrusted, user, "5")
    with pytest.raises(NotFound):
        await ask_for(ann, "usr_none", "5")
    with pytest.raises(Invalid):
        await ask_for(ann, user, "0")
    with pytest.raises(NotFound):
        await ann.ask(ApproveAdjustment(adjustment_id="adj_none"))


async def test_many_small_grants_of_one_admin_are_a_large_one(bank: Bank) -> None:
    user, admin = await bank.user(), bank.context("usr_admin", Role.ADMIN)
    outcomes: Counter[str] = Counter()

    async def grant() -> None:
        try:
            await admin.ask(GrantCredits(user_id=user, amount="9000", reason="One of many"))
        except PromptForgeError as error:
            outcomes[error.code] += 1
        else:
            outcomes["granted"] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(14):
            tasks.start_soon(grant)
    assert outcomes == {"granted": 11, GrantTooLarge.code: 3}
    assert amounts(await bank.credits(user)) == {"granted": "99000"}
    other = bank.context("usr_admin2", Role.ADMIN)
    await other.ask(GrantCredits(user_id=user, amount="9000", reason="Somebody else's day"))
