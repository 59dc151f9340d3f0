"""What each operation needs to be served: somebody's things, and a body. For the matrix of permissions."""

from __future__ import annotations

from typing import Any

from promptforge.core.ids import new_id
from tests.support import (
    account_setups,
    analytics_setups,
    billing_setups,
    market_setups,
    moderation_setups,
    notification_setups,
    package_setups,
    partner_setups,
    referral_setups,
)
from tests.support.permission_world import Case, World
from tests.support.running import LISTING


def queue(_: World) -> dict[str, Any]:
    return {"queue": "default"}


def schedule(_: World) -> dict[str, Any]:
    return {"name": "seal-audit-log"}


def handle(world: World) -> dict[str, Any]:
    world.owner.call("PATCH", "/users/me", {"handle": "the-owner"}, expect=200)
    return {"handle": "the-owner"}


def _listing_body(world: World) -> Any:
    return {**LISTING, "prompt_id": world.prompt()["prompt_id"]}


IMPORT = {"format": "langfuse", "items": [{"name": "Imported", "version": 1, "prompt": "Hello {{name}}"}]}
DECISION = {"decision": "reject", "reason_code": "misleading", "public_note": "Not as described."}
CASES: dict[str, Case] = {
    "getMe": Case(),
    "updateProfile": Case(body=lambda _: {"bio": "Hello"}),
    **account_setups.cases(),
    "getCredits": Case(),
    "listCreditLots": Case(),
    "listTransactions": Case(),
    "getPublicProfile": Case(handle),
    "listProjects": Case(),
    "createProject": Case(body=lambda _: {"name": "Newsroom"}),
    "getProject": Case(World.project),
    "updateProject": Case(World.project, lambda _: {"description": "x"}),
    "archiveProject": Case(World.project),
    "restoreProject": Case(World.project),
    "listProjectMembers": Case(World.project),
    "addProjectMember": Case(World.project, World.newcomer),
    "setProjectMemberRoles": Case(World.member, lambda _: {"roles": ["editor"]}),
    "removeProjectMember": Case(World.member),
    "listPrompts": Case(),
    "getPromptIndex": Case(World.project),
    "exportPrompts": Case(World.project),
    "importPrompts": Case(body=lambda _: IMPORT),
    "listDependants": Case(World.prompt),
    "compareVersions": Case(World.compared),
    "forkPrompt": Case(World.prompt, lambda _: {"name": new_id("name")}),
    "listPromptLabels": Case(World.labelled),
    "getPromptLabel": Case(World.labelled),
    "movePromptLabel": Case(World.labelled, lambda _: {"version": 1}),
    "removePromptLabel": Case(World.labelled),
    "listPromptLabelMoves": Case(World.labelled),
    "getPromptDraft": Case(World.drafted),
    "savePromptDraft": Case(World.prompt, lambda _: {"content": "Say {{it}}"}),
    "discardPromptDraft": Case(World.drafted),
    "publishPromptDraft": Case(World.drafted, lambda _: {}),
    "renderPrompt": Case(World.labelled, lambda _: {"variables": {"word": "hello"}}),
    "getCompiledPrompt": Case(World.labelled),
    "createPrompt": Case(body=lambda _: {"name": new_id("name")}),
    "getPrompt": Case(World.prompt),
    "updatePrompt": Case(World.prompt, lambda _: {"description": "x"}),
    "archivePrompt": Case(World.prompt),
    "restorePrompt": Case(World.archived_prompt),
    "listPromptVersions": Case(World.prompt),
    "createPromptVersion": Case(World.prompt, lambda _: {"content": "Another {{word}}"}),
    "getPromptVersion": Case(World.prompt),
    "listDatasets": Case(),
    "createDataset": Case(body=lambda _: {"name": new_id("name")}),
    "getDataset": Case(World.dataset),
    "updateDataset": Case(World.dataset, lambda _: {"description": "x"}),
    "deleteDataset": Case(World.dataset),
    "listDatasetItems": Case(World.dataset),
    "addDatasetItems": Case(World.dataset, lambda _: {"items": [{"variables": {"word": "hello"}}]}),
    "replaceDatasetItem": Case(World.dataset, lambda _: {"variables": {"word": "goodbye"}}),
    "deleteDatasetItem": Case(World.dataset),
    **package_setups.cases(Case),
    **partner_setups.cases(Case),
    **referral_setups.cases(Case),
    "listEvaluations": Case(),
    "createEvaluation": Case(body=World.to_be_evaluated),
    "getEvaluation": Case(World.evaluation),
    "cancelEvaluation": Case(World.cancellable_evaluation),
    "listEvaluationResults": Case(World.evaluation),
    "compareEvaluations": Case(World.finished_evaluation),
    "listModels": Case(),
    "improveText": Case(body=lambda _: {"text": "Say hello"}),
    "generateText": Case(body=lambda _: {"task": "Say hello"}),
    "critiqueText": Case(body=lambda _: {"text": "judge this"}),
    "explainText": Case(body=lambda _: {"text": "Say hello"}),
    "suggestListing": Case(body=lambda _: {"text": "describe this"}),
    **market_setups.sealed(Case),
    "testPrompt": Case(World.labelled, lambda _: {"variables": {"word": "hello"}}),
    "getPromptAnalytics": Case(World.prompt),
    "getMyUsage": Case(),
    "listListings": Case(),
    "createListing": Case(body=_listing_body),
    "listMyListings": Case(),
    "getListing": Case(World.draft),
    "updateListing": Case(World.draft, lambda _: {"title": "Another title"}),
    "submitListing": Case(World.draft),
    "withdrawListing": Case(World.submitted),
    "unlistListing": Case(World.published),
    "relistListing": Case(World.unlisted),
    "getListingHistory": Case(World.draft),
    "withdrawProposal": Case(market_setups.proposed),
    "appealListing": Case(market_setups.rejected, lambda _: {"words": "It does what it says."}),
    "appealProposal": Case(market_setups.rejected_change, lambda _: {"words": "It does what it says."}),
    "purchaseListing": Case(World.published, lambda _: {"expected_price": "0"}),
    "listPurchases": Case(),
    "getPurchase": Case(World.purchase),
    "requestRefund": Case(World.purchase, lambda _: {"words": "It is not what I need."}),
    "appealRefund": Case(market_setups.refused_refund, lambda _: {"words": "It is not what it says."}),
    "listSales": Case(),
    **market_setups.cases(Case),
    **moderation_setups.cases(Case, World.case, DECISION),
    **billing_setups.cases(),
    "search": Case(),
    "suggestTitles": Case(lambda _: {"query": "q=summar"}),
    "getSearchIndex": Case(),
    "listNotifications": Case(),
    "countUnreadNotifications": Case(),
    "markAllNotificationsRead": Case(),
    "markNotificationRead": Case(World.notification),
    "deleteNotification": Case(World.notification),
    **notification_setups.cases(Case),
    "getSettings": Case(),
    "updateSettings": Case(body=lambda _: {"notifications": {"listing.sold": {"email": False}}}),
    **analytics_setups.cases(Case),
    "listJobs": Case(),
    "streamJobs": Case(),
    "changeJobs": Case(body=lambda _: {"action": "cancel", "kind": "tests.none"}),
    "listQueues": Case(),
    "streamQueues": Case(),
    "changeQueue": Case(queue, lambda _: {"concurrency": 50}),
    "pauseQueue": Case(queue),
    "resumeQueue": Case(queue),
    "listSchedules": Case(),
    "triggerSchedule": Case(schedule),
    "getBatch": Case(World.batch),
    "getJob": Case(World.waiting_job),
    "streamJob": Case(World.waiting_job),
    "retryJob": Case(World.dead_job),
    "cancelJob": Case(World.waiting_job),
    "discardJob": Case(World.dead_job),
    "listActors": Case(),
    "listDeadLetters": Case(),
    "listAuditLog": Case(),
    "verifyAuditLog": Case(),
}
