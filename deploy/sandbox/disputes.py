"""Disputes: a chargeback takes the money at once, an inquiry (`warning_…`) takes nothing; and how they end."""

from __future__ import annotations

from promptforge.deploy.sandbox import books
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()
FEE = 1500
"""What a dispute costs, in the charge's minor units; a won one does not give it back."""
EVIDENCE_SECONDS = 7 * 86_400
JUDGED_SECONDS = 3
ENDED = frozenset({"won", "lost", "warning_closed"})


def open_dispute(
    world: World, charge: Object, *, inquiry: bool = False, amount: int | None = None, reason: str = "fraudulent"
) -> Object:
    """`amount` is what is left of the charge unless given; it may exceed that where exchange rates have moved."""
    account = world.owner("charge", charge["id"])
    made: Object = {
        "id": world.new_id("du"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"] if amount is None else amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": world.now() + EVIDENCE_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    world.add(made, account=account)
    charge |= {"disputed": True, "_refundable": inquiry}
    if inquiry:
        made["payment_method_details"]["card"]["case_type"] = "inquiry"
    else:
        _withdraw(world, made)
    world.emit("charge.dispute.created", made, account=account)
    if not inquiry:
        world.emit("charge.dispute.funds_withdrawn", made, account=account)
    return made


def _withdraw(world: World, dispute: Object) -> None:
    movement = books.move(
        world,
        "adjustment",
        -dispute["amount"],
        dispute["currency"],
        source=dispute["id"],
        account=world.owner("dispute", dispute["id"]),
        fee=FEE,
        description=f"Chargeback withdrawal for {dispute['charge']}",
    )
    dispute["balance_transactions"] = [*dispute["balance_transactions"], movement]


def escalate(world: World, dispute: Object) -> None:
    """An inquiry becomes a chargeback. Does nothing to what is one already."""
    if not dispute["status"].startswith("warning_") or dispute["status"] in ENDED:
        return
    account = world.owner("dispute", dispute["id"])
    _withdraw(world, dispute)
    previous = changed(dispute, {"status": "needs_response", "is_charge_refundable": False})
    world.get("charge", dispute["charge"], account=account)["_refundable"] = False
    world.emit("charge.dispute.updated", dispute, account=account, previous=previous)
    world.emit("charge.dispute.funds_withdrawn", dispute, account=account)


def end(world: World, dispute: Object, *, won: bool) -> None:
    """Judge a dispute; an inquiry is closed without a winner. Does nothing to one that has ended."""
    if dispute["status"] in ENDED:
        return
    account = world.owner("dispute", dispute["id"])
    inquiry = dispute["status"].startswith("warning_")
    if won and not inquiry:
        movement = books.move(
            world, "adjustment", dispute["amount"], dispute["currency"], source=dispute["id"], account=account,
            description=f"Chargeback reversal for {dispute['charge']}",
        )  # fmt: skip
        dispute["balance_transactions"] = [*dispute["balance_transactions"], movement]
    status = "warning_closed" if inquiry else "won" if won else "lost"
    previous = changed(dispute, {"status": status, "is_charge_refundable": inquiry or won})
    if won or inquiry:
        world.get("charge", dispute["charge"], account=account)["_refundable"] = True
    world.emit("charge.dispute.closed", dispute, account=account, previous=previous)
    if status == "won":
        world.emit("charge.dispute.funds_reinstated", dispute, account=account)


@operations.post("/disputes/{id}", "disputes.update", known="evidence metadata submit")
def update_dispute(call: Call) -> Object:
    """Evidence that says `winning_evidence` or `losing_evidence` decides it, as in Stripe's test mode."""
    world, dispute = call.world, call.get("dispute")
    if dispute["status"] in ENDED:
        raise declined_by_rule("This dispute is already closed", code="dispute_already_closed")
    evidence = call.params.part("evidence").tree
    changes: Object = {"metadata": call.params.metadata(dispute["metadata"])}
    if evidence:
        details = {**dispute["evidence_details"], "has_evidence": True}
        if call.params.flag("submit", default=True):
            details["submission_count"] += 1
            inquiry = dispute["status"].startswith("warning_")
            changes["status"] = "warning_under_review" if inquiry else "under_review"
        changes |= {"evidence": {**dispute["evidence"], **evidence}, "evidence_details": details}
    previous = changed(dispute, changes)
    world.emit("charge.dispute.updated", dispute, account=call.account, previous=previous)
    told = evidence.get("uncategorized_text")
    if told in {"winning_evidence", "losing_evidence"}:
        world.timeline.plan(world.now() + JUDGED_SECONDS, lambda: end(world, dispute, won=told == "winning_evidence"))
    return dispute


@operations.post("/disputes/{id}/close", "disputes.close")
def close_dispute(call: Call) -> Object:
    """Give in: it counts as lost."""
    dispute = call.get("dispute")
    if dispute["status"] in ENDED:
        raise declined_by_rule("This dispute is already closed", code="dispute_already_closed")
    end(call.world, dispute, won=False)
    return dispute


@operations.get("/disputes/{id}", "disputes.retrieve")
def retrieve_dispute(call: Call) -> Object:
    return call.get("dispute")


@operations.list("/disputes", "disputes.list", known="charge payment_intent")
def list_disputes(call: Call) -> Object:
    return listed(call, "dispute", {"charge": "charge", "payment_intent": "payment_intent"})
