"""What the operations of the market need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.ids import new_id
from tests.support.planting import make_payable
from tests.support.running import LISTING, published_listing

if TYPE_CHECKING:
    from tests.support.permission_world import World


def rejected(world: World) -> dict[str, Any]:
    made = world.submitted()
    review = {"decision": "reject", "reason_code": "misleading", "note": "No.", "decided_at": datetime.now(UTC)}
    changes = {"$set": {"state": "rejected", "review": review}}
    world.database["marketplace_listings"].update_one({"_id": made["listing_id"]}, changes)
    return made


def proposed(world: World) -> dict[str, Any]:
    made = world.published()
    world.owner.call("PATCH", f"/marketplace/listings/{made['listing_id']}", {"title": "Another title"}, expect=200)
    return made


def rejected_change(world: World) -> dict[str, Any]:
    made = proposed(world)
    review = {"decision": "reject", "reason_code": "misleading", "note": "No.", "decided_at": datetime.now(UTC)}
    changes = {"$set": {"proposal.state": "rejected", "proposal.review": review}}
    world.database["marketplace_listings"].update_one({"_id": made["listing_id"]}, changes)
    return made


REVIEW = {"stars": 4, "text": "Does what it says."}
REPORT = {"reason": "copied", "words": "It is the same as another one."}


def reviewed_purchase(world: World) -> dict[str, Any]:
    made = world.purchase()
    world.owner.call("PUT", f"/marketplace/purchases/{made['purchase_id']}/review", REVIEW, expect=200)
    return made


def refused_refund(world: World) -> dict[str, Any]:
    made = world.purchase()
    now = datetime.now(UTC)
    request = {"words": "It is not it.", "requested_at": now, "refused_at": now, "reason_code": "x", "note": "No."}
    world.database["purchases"].update_one({"_id": made["purchase_id"]}, {"$set": {"refund": request}})
    return made


def ruling() -> dict[str, Any]:
    """A moderator's decision that can be appealed."""
    now = datetime.now(UTC)
    told = {"case_id": "cas_before", "reason_code": "off_topic", "note": "No.", "decided_at": now}
    until = {"appeal_until": now + timedelta(days=1), "appealed_at": None, "final": False, "overturned_at": None}
    return {**told, **until}


def removed_review(world: World) -> dict[str, Any]:
    made = reviewed_purchase(world)
    changes = {"$set": {"removed_at": datetime.now(UTC), "removal": ruling()}}
    world.database["reviews"].update_one({"purchase_id": made["purchase_id"]}, changes)
    return made


def refunded_sale(world: World) -> dict[str, Any]:
    """Of the owner's, with what a moderator would have decided; the ledger was not asked for it."""
    path = f"/marketplace/listings/{world.published()['listing_id']}/purchases"
    bought = world.people["bystander"].post(path, {"expected_price": "0"}, expect=201)
    world.database["purchases"].update_one({"_id": bought["id"]}, {"$set": {"ruling": ruling()}})
    return {"purchase_id": bought["id"]}


def stopped_runs(world: World) -> dict[str, Any]:
    """Of the owner's, on a listing of a seller's."""
    listing_id = published_listing(
        world.service, world.people["seller"], world.people["moderator"], name=new_id("name"), price="0"
    )
    row: dict[str, Any] = {
        "listing_id": listing_id,
        "prompt_id": world.database["marketplace_listings"].find_one({"_id": listing_id})["prompt_id"],
        "subject": world.owner_id,
        "people": [world.owner_id],
    }
    row |= {"_id": new_id("cas"), "ruling": ruling(), "created_at": datetime.now(UTC)}
    world.database["sealed_rulings"].insert_one(row)
    return {"listing_id": listing_id}


APPEAL = {"words": "It was not as it was taken for."}


def review_of_owners(world: World) -> dict[str, Any]:
    """A review of what the owner sells."""
    listing_id, bystander = world.published()["listing_id"], world.people["bystander"]
    path = f"/marketplace/listings/{listing_id}/purchases"
    bought = bystander.post(path, {"expected_price": "0"}, expect=201)
    review = bystander.call("PUT", f"/marketplace/purchases/{bought['id']}/review", REVIEW, expect=200)
    return {"review_id": review["id"]}


def removed_reply(world: World) -> dict[str, Any]:
    """Of the owner's, to a review of what they sell."""
    made = review_of_owners(world)
    changes = {"reply": "Buy the other one.", "reply_removed_at": datetime.now(UTC), "reply_removal": ruling()}
    world.database["reviews"].update_one({"_id": made["review_id"]}, {"$set": changes})
    return made


CaseT = TypeVar("CaseT")


def reviews_and_reports(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "writeReview": case(lambda world: world.purchase(), lambda _: REVIEW),
        "deleteReview": case(reviewed_purchase),
        "getOwnReview": case(removed_review),
        "appealRemoval": case(removed_review, lambda _: APPEAL),
        "appealSaleRefund": case(refunded_sale, lambda _: APPEAL),
        "getRunsRuling": case(stopped_runs),
        "appealRuns": case(stopped_runs, lambda _: APPEAL),
        "listReviews": case(lambda world: world.published()),
        "replyToReview": case(review_of_owners, lambda _: {"text": "Thank you."}),
        "deleteReply": case(review_of_owners),
        "getOwnReply": case(removed_reply),
        "appealReplyRemoval": case(removed_reply, lambda _: APPEAL),
        "reportReview": case(review_of_owners, lambda _: REPORT),
        "reportListing": case(lambda world: world.published(), lambda _: REPORT),
    }


def marked(world: World) -> dict[str, Any]:
    made = world.published()
    world.owner.call("PUT", f"/marketplace/listings/{made['listing_id']}/favourite", {}, expect=200)
    return made


def finding(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "getSellerDashboard": case(),
        "listCategories": case(),
        "listFavourites": case(),
        "addFavourite": case(lambda world: world.published()),
        "removeFavourite": case(marked),
    }


def evaluated(world: World) -> dict[str, Any]:
    """A draft with the scorecard of its version, and the evaluation's id to attach it again."""
    made = world.finished_evaluation()
    evaluation = world.owner.get(f"/evaluations/{made['evaluation_id']}")
    body = {**LISTING, "price": "0", "prompt_id": evaluation["prompt_id"]}
    listing = world.owner.post("/marketplace/listings", body, expect=201)
    evaluations.append(made["evaluation_id"])
    return {"listing_id": listing["id"]}


evaluations: list[str] = []
"""Of the last listing that was made with one."""


def evidence(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "attachEvidence": case(evaluated, lambda _: {"evaluation_id": evaluations[-1]}),
        "removeEvidence": case(evaluated),
    }


SEALED = "Say the word of the day as a pirate would say it to a parrot on a stormy night: {{word}}"


def runnable(world: World) -> dict[str, Any]:
    """A published listing of the owner's with trials, on a model that costs nothing, and credits for its budget."""
    made = world.published()
    prompt = world.owner.post("/prompts", {"name": made["listing_id"]}, expect=201)
    world.owner.post(f"/prompts/{prompt['id']}/versions", {"content": SEALED}, expect=201)
    model = world.owner.get("/ai/models")["models"][0]["name"]
    terms = {"model": model, "share": 0, "max_tokens": 64, "temperature": None, "top_p": None, "trials_per_person": 100}
    changes = {"$set": {"runs": terms, "prompt_id": prompt["id"]}}
    world.database["marketplace_listings"].update_one({"_id": made["listing_id"]}, changes)
    return made


def funded(world: World) -> dict[str, Any]:
    """The same, and who is to be served has credits."""
    made = runnable(world)
    for caller in ("owner", "seller"):
        make_payable(world.database, world.people[caller].get("/users/me")["id"])
    return made


def sealed(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "runListing": case(runnable, lambda _: {"variables": {"word": "hello"}}),
        "getRunOffer": case(runnable),
        "fundTrials": case(funded, lambda _: {"credits": "0.001"}),
        "getTrialBudget": case(runnable),
        "withdrawTrialBudget": case(runnable),
    }


SELLERS_OWN = frozenset(
    {
        "fundTrials",
        "getTrialBudget",
        "withdrawTrialBudget",
        "getRunsRuling",
        "appealRuns",
        "appealListing",
        "appealProposal",
        "getListingHistory",
        "withdrawProposal",
        "replyToReview",
        "deleteReply",
        "getOwnReply",
        "appealReplyRemoval",
        "attachEvidence",
        "removeEvidence",
    }
)


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {**reviews_and_reports(case), **finding(case), **evidence(case)}
