"""Examples for the documentation, made from schemas: one small world of things that fit together.

A field's own `examples` come first, then what the table below says of its name (or of its name in one schema), then
what its type allows. A test holds that every text is one of the first two, and that every example is valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptforge.http import moderation_examples, notification_examples, partnership_examples
from promptforge.http.schemas import PREFIX, Schema

Json = Any  # whatever JSON can be
Components = Mapping[str, Schema]

UNTOLD = "something"
"""What a text becomes of which nothing is known."""

_ULID = "01k8y3w5q2m7t9x4c6v1b8n0ra"
_THINGS = {
    "Adjustment": "adj",
    "ApiKey": "key",
    "AuditEntry": "aud",
    "Batch": "bat",
    "Case": "cas",
    "Decision": "dec",
    "Checkout": "chk",
    "Dataset": "dts",
    "Delivery": "dlv",
    "Evaluation": "evl",
    "Export": "exp",
    "Grant": "grt",
    "Install": "ins",
    "Item": "itm",
    "Job": "job",
    "JobDetail": "job",
    "LabelMove": "mov",
    "Listing": "lst",
    "Me": "usr",
    "Notification": "ntf",
    "Package": "pkg",
    "Partnership": "ptn",
    "Payout": "pay",
    "Project": "prj",
    "Prompt": "prm",
    "PublicProfile": "usr",
    "Purchase": "pur",
    "Receipt": "rct",
    "Report": "rpt",
    "Review": "rvw",
    "RoleChange": "rch",
    "PurchasedContent": "pur",
    "Sale": "pur",
    "Subscription": "sbs",
    "Upload": "upl",
    "Webhook": "whk",
    "WebhookSecret": "whk",
}
"""Whose `id` begins how; a view is named for its thing."""

_PEOPLE = dict.fromkeys(
    ("user_id", "owner_id", "seller_id", "publisher_id", "moderator_id", "decided_by", "requested_by"), f"usr_{_ULID}"
)
_MOMENTS = dict.fromkeys(("created_after", "since"), "2026-11-01T00:00:00Z") | dict.fromkeys(
    ("created_before", "until", "expires_at"), "2026-12-01T00:00:00Z"
)
_TOLD: dict[str, Json] = {
    **(_PEOPLE | _MOMENTS),
    **{f"{thing.lower()}_id": f"{prefix}_{_ULID}" for thing, prefix in _THINGS.items()},
    "buyer_id": "usr_01k8y41z6h3e8s0d5f9g2j7kpm",
    "key_id": f"key_{_ULID}",
    "pack_id": "pack_1000",
    "CreditPackView.id": "pack_1000",
    "event_id": "evt_1SZb2kJ4d8Q0aB3cXyZ01234",
    "ExportView.state": "finished",
    "ExportView.failure": None,
    "session_id": "cs_test_a1B2c3D4e5F6",
    "AccountView.id": "usr_01k8y41z6h3e8s0d5f9g2j7kpm",
    "TransactionView.id": "purchase:pur_" + _ULID,
    "request_id": "req_01k8y3w5q2m7t9x4c6v1b8n0rb",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "next": "eyJvIjpbMTc2MzI4NjQwMF19.5Zk3",
    "cursor": None,
    # People
    "email": "ada@example.com",
    "handle": "ada-lovelace",
    "display_name": "Ada Lovelace",
    "bio": "Writes prompts that read other people's mail, with their consent.",
    "avatar_url": "https://example.com/ada.png",
    "links[]": "https://example.com/ada",
    "roles[]": "seller",
    "RoleChangeView.after[]": "seller",
    "RoleChangeView.reason": "Sells prompts from Monday on",
    "expected[]": "user",
    # Projects, prompts and listings
    "share": "0.5",
    "withheld": None,
    "SealedVariable.name": "article",
    "CaseView.subject": None,
    "TrialBudgetView.funded": "10",
    "TrialBudgetView.spent": "1.2",
    "TrialBudgetView.held": "0.25",
    # Payouts
    "country": "DE",
    "requirements_due[]": "external_account",
    "disabled_reason": None,
    "BankPayoutView.status": "paid",
    "failure_code": None,
    "OnboardingView.url": "https://connect.stripe.com/setup/e/acct_1SZb2k/4d8Q0aB3cXyZ",
    "PayoutView.reason": None,
    "HoldPayout.reason": "The bank account belongs to somebody else",
    "ReleasePayout.reason": "The seller has sent a statement of the bank",
    "bank_status": "paid",
    # Projects
    "ProjectView.name": "Newsroom",
    "protected_labels[]": "production",
    "added_by": f"usr_{_ULID}",
    "moved_by": f"usr_{_ULID}",
    "created_by": f"usr_{_ULID}",
    "updated_by": f"usr_{_ULID}",
    "label": "production",
    "pin": "production",
    "from_version": 2,
    "to_version": 3,
    "LabelView.reason": "Answers in half the time",
    "unified": "--- version 2\n+++ version 3\n@@ -1 +1 @@\n-Summarise it.\n+Summarise {{article}}.\n",
    "messages": [],
    "FieldDiff.name": "temperature",
    "FieldDiff.before": 0.7,
    "FieldDiff.after": 0.2,
    "LabelMoveView.reason": "Answers in half the time",
    "forked_from": None,
    "ExportedPrompt.name": "Hurried reader",
    "ImportedItem.name": "Greeting",
    "stored_as": "Greeting",
    "labels_set[]": "production",
    "pointer": "/config/seed",
    "ImportNote.detail": "There is no such setting here: it was left out",
    "problems": [],
    "Include.name": "House style",
    "Include.label": "production",
    "Include.version": None,
    "Dependant.name": "Hurried reader",
    "CompiledView.name": "Hurried reader",
    "Tool.name": "look_up",
    "Variable.name": "article",
    "Variable.description": "The whole article, without markup.",
    "default": None,
    "tag": "summaries",
    "tools": [],
    "response_schema": None,
    "includes": [],
    "values": [],
    "PromptView.name": "Hurried reader",
    "description": "Five lines of summary, and what to read in full.",
    "folder": "news/daily",
    "tags[]": "summaries",
    "content": "Summarise {{article}} in five lines.",
    "message": "Asks for five lines instead of ten",
    "content_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "version": 3,
    "latest_version": 3,
    "base_version": 2,
    "model": "gpt-5-mini",
    "temperature": 0.2,
    "top_p": 0.9,
    "max_tokens": 400,
    "title": "Summaries for people in a hurry",
    "summary": "A long text in five lines, and what is worth reading in full.",
    "samples[]": "The council met on Monday and raised the fee for parking. Nobody objected.",
    "category": "writing",
    "refund_policy": "2026-11: refundable within 14 days while unused",
    "published_version": 2,
    "where": "content, line 2, column 6",
    "next_step": "There is nothing that you have to do.",
    "reason_code": "meets_guidelines",
    "stars": 4,
    "conversion": 0.04,
    "dataset_name": "Monday's articles",
    "EvidenceView.scorers[]": "contains",
    "outdated_because": None,
    "EvidenceView.model": "gpt-5-mini",
    "EvidenceView.items": 50,
    "EvidenceView.passed": 43,
    "scorers[]": "contains",
    "gross": "125",
    "SellerDashboard.refunded_net": "10.625",
    "SalesSum.net": "106.25",
    "RunSum.net": "8.5",
    "RunSum.refunded_net": "0",
    "runs_net": "0.85",
    "day": "2026-11-16",
    "DayOfListing.day": "2026-11-16",
    "min_price": None,
    "max_price": None,
    "min_rating": None,
    "average": 4.25,
    **dict.fromkeys(("ReviewView.text", "WriteReview.text"), "Does what it says, in half the time."),
    "OwnReplyView.text": "It is about your shop and not about the prompt.",
    "ReplyToReview.text": "Thank you; the next version is shorter still.",
    "reply": "Thank you; the next version is shorter still.",
    "field": "title",
    "FieldChange.before": "Summaries",
    "FieldChange.after": "Summaries for people in a hurry",
    "move": "propose",
    "by": f"usr_{_ULID}",
    "RefundView.note": "It works as it is described.",
    "against": None,
    "RulingView.note": "It is about the delivery of another shop.",
    "RulingView.reason_code": "off_topic",
    "words": "The text that was found is a quotation; the source is named in the description.",
    "note": "Clear, and does what it says.",
    "public_note": "Clear, and does what it says.",
    "internal_note": "Second listing of this seller; the first had no complaints.",
    # Datasets and evaluations
    "DatasetView.name": "Monday's articles",
    "DatasetView.description": "Fifty articles, and what was news in each.",
    "variables_schema": None,
    "revision": 3,
    "item_count": 50,
    "item_ids[]": f"itm_{_ULID}",
    "expected": "The council met.",
    "other_id": "evl_01k8y3w5q2m7t9x4c6v1b8n0rb",
    "scorer": "contains",
    "ScorerSummary.name": "contains",
    "Scorer.name": None,
    "Scorer.model": None,
    "Scorer.text": "council",
    "Scorer.pattern": None,
    "Scorer.criteria": None,
    "json_schema": None,
    "scored": 50,
    "mean": 0.86,
    "mean_score": 0.86,
    "pass_rate": 0.86,
    "passed": True,
    "EvaluationSummary.passed": 43,
    "EvaluationSummary.items": 50,
    "EvaluationSummary.credits": "21.4",
    "latency_p50_ms": 1840,
    "latency_p95_ms": 3120,
    "items_total": 50,
    "items_done": 50,
    "score": 1.0,
    "Score.reason": None,
    "Score.score": 1.0,
    "output": "The council met.",
    "error_code": None,
    "error_detail": None,
    "ItemResult.credits": "0.42",
    "failure": None,
    "EvaluationFailure.code": "insufficient_credits",
    "EvaluationFailure.detail": "You do not have enough credits for this",
    "metadata": {"source": "archive"},
    "metadata{}": "archive",
    # Language models
    **{
        f"{operation}.{field}": None  # about the text; one about a prompt has no text
        for operation in ("ImproveText", "CritiqueText", "ExplainText", "SuggestListing")
        for field in ("prompt_id", "version", "model")
    },
    "GenerateText.model": None,
    "WrittenText.text": "Summarise {{article}} in five lines. Name the one thing to read in full.",
    "task": "Answer customers' questions about returns",
    "wish": "Shorter, and for readers in a hurry",
    "max_credits": "5",
    "AnsweredBy.model": "gpt-5-mini",
    "RunUsage.credits": "0.42",
    "criterion": "clarity",
    "CriterionScore.reason": "The task is one sentence, and says how long the answer is.",
    "Critique.summary": "Say what to do where the article has no news.",
    "attempts": 1,
    "input_tokens": 412,
    "output_tokens": 180,
    "cost_microusd": 463,
    "latency_ms": 2100,
    "first_token_ms": 380,
    "ModelView.name": "gpt-5-mini",
    "provider": "openai",
    "input_credits_per_million": "25",
    "output_credits_per_million": "200",
    "input_microusd_per_million": 250_000,
    "output_microusd_per_million": 2_000_000,
    "max_output_tokens": 16_384,
    "TryPrompt.version": None,  # the label says which
    "TryPrompt.model": None,
    "stop[]": "###",
    "run_id": f"run_{_ULID}",
    "TrialView.model": "gpt-5-mini",
    "ignored_tools": [],
    **{f"{totals}.credits": "18.2" for totals in ("RunTotals", "SpendTotals")},
    "runs": 120,
    "failed": 2,
    "cancelled": 1,
    # Credits
    "price": "12.5",
    "expected_price": "12.5",
    "net": "10.625",
    "amount": "12.5",
    "CheckoutView.amount": 1000,
    "ReceiptView.title": "1025 PromptForge credits",
    "ReceiptView.credits": "1025",
    "ReceiptView.subtotal": 1000,
    "ReceiptView.tax": 190,
    "ReceiptView.total": 1190,
    "ReceiptView.refunded": 0,
    "ReceiptView.charged_back": 0,
    "ReceiptView.number": "K3J9QZPA-0001",
    "TaxView.rate": "19",
    "TaxView.amount": 190,
    "invoice_url": "https://invoice.stripe.com/i/acct_1SZb2k/test_a1B2c3D4",
    "receipt_url": "https://pay.stripe.com/receipts/payment/a1B2c3D4",
    "available": "87.5",
    "granted": "10",
    "purchased": "77.5",
    "earned": "0",
    "pending": "0",
    "reserved": "0",
    "debt": "0",
    "frozen": "0",
    "CaseQueueView.available": 4,
    "credits": "1000",
    "bonus_credits": "25",
    "total_credits": "1025",
    "price_minor_units": 1000,
    "currency": "usd",
    "url": "https://checkout.stripe.com/c/pay/cs_test_a1B2c3D4e5F6",
    "reason": "Thank you for the report",
    "decision_reason": "The debt is still being paid off",
    "TransactionView.kind": "purchase",
    "account": "user:purchased",
    "refs{}": "pur_" + _ULID,
    "WebhookEventView.account": None,
    "WebhookEventView.type": "checkout.session.completed",
    "WebhookEventView.reason": None,
    "SubscriptionView.state": "active",
    "SubscriptionView.url": None,
    "SubscriptionView.ends_at": None,
    "plan_id": "monthly_1000",
    "withdrawal_waiver": "2026-11-25",
    "TraderView.name": "Ada Lovelace",
    "TraderView.email": "shop@example.com",
    "TraderView.registration_number": "HRB 12345",
    "TraderView.vat_number": "DE123456789",
    "CreditLotView.id": "topup:cs_test_a1B2c3D4e5F6",
    "CreditLotView.remaining": "975",
    "street": "Hauptstraße 1",
    "birth_date": "1990-02-28",
    "postal_code": "10115",
    "city": "Berlin",
    "CountryConflictView.billing_country": "DE",
    "CountryConflictView.card_country": "GB",
    "CountryConflictView.taxed_in[]": "DE",
    "CountryConflictView.tax": 190,
    "CountryConflictView.total": 1190,
    "CountryConflictView.number": "K3J9QZPA-0001",
    "CreditExpiryView.amount": "10",
    "SellerTotalsView.gross": "2500",
    "SellerTotalsView.fees": "375",
    "SellerTotalsView.net": "2125",
    "refunded_gross": "25",
    "refunded_fees": "3.75",
    "refunded_net": "21.25",
    "compensated": "0",
    "RequestSellerReport.year": 2026,
    "RequestSellerReport.quarter": 4,
    "WithdrawalWaiverView.version": "2026-11-25",
    "WithdrawalWaiverView.text": "I want my credits at once, and know that I lose my right of withdrawal by that.",
    "unresolved[]": "re_3SZb2kJ4d8Q0aB3c1XyZ0123",
    "api_version": "2026-10-28.endive",
    # Notifications
    **moderation_examples.TOLD,
    **notification_examples.TOLD,
    **partnership_examples.TOLD,
    "body": "Somebody bought “Summaries for people in a hurry”.",
    "subject{}": "lst_" + _ULID,
    # Keys, the audit log and the ledger's report
    "ApiKeyView.name": "nightly export",
    "prefix": "pfk_7h2K",
    "secret": "pfk_7h2Kq9Zr4T8uW1xY5vB3nM6pL0aSdFgH2jKc",
    "scopes[]": "prompts:read",
    "available_scopes[]": "prompts:read",
    "action": "credits.granted",
    "target": f"usr_{_ULID}",
    "before": None,
    "after": {"amount": "10"},
    "head": "d2a84f4b8b650937ec8f73cd8be2c74add5a911ba64df27458ed8229da804a26",
    "broken": None,
    "rule": "unbalanced_journal",
    "Violation.subject": "purchase:pur_" + _ULID,
    "Violation.detail": "its legs sum to 1",
    "movements": 1840,
    "stripe": 125_000,
    "ledger": 125_000,
    "compared_at": "2026-11-25T02:41:07Z",
    "violations": [],
    "violations_found": 0,
    # Search
    **dict.fromkeys(("SearchHit.id", "Suggestion.id"), f"lst_{_ULID}"),
    "SearchHit.project_id": None,  # whoever sees listings need be in no project
    "Fragment.text": "Summaries",
    "Facet.field": "category",
    "FacetCount.value": "writing",
    "names[]": "ada-lovelace",
    **dict.fromkeys(("OfferView.licence", "Search.licence"), "source"),
    "sells": "prompt",
    "SearchIndexView.schema": "1",
    # Jobs and actors
    "kind": "notifications.notify",
    "queue": "default",
    "batch_id": f"bat_{_ULID}",
    "waits_for": [],
    "progress": 40.0,
    "progress_message": "400 of 1,000",
    "arguments": {"listing_id": "lst_" + _ULID},
    "result": None,
    "AttemptErrorView.error": "Unavailable",
    "AttemptErrorView.detail": "The mail server did not answer in time",
    "event": "claimed",
    "TimelineEntry.detail": "attempt 1",
    "counts": {"completed": 9, "running": 1},
    "ScheduleView.name": "seal-audit-log",
    "cron": "* * * * *",
    "zone": "UTC",
    "ActorView.name": "prompts",
    "DeadLetterView.actor": "prompts",
    "DeadLetterView.kind": "prompts.get",
    "InFlightView.kind": "prompts.create",
    "InFlightView.key": f"usr_{_ULID}",
    "waiting_on": None,
    "last_crash": None,
}


def example(schema: Schema, components: Components, name: str = "", owner: str = "") -> Json:
    """A value of this schema; `name` is the field that it is for, `owner` the schema which has that field."""
    if schema.get("examples"):
        return schema["examples"][0]
    for told in (f"{owner}.{name}", name):
        if told in _TOLD and _fits(_TOLD[told], schema, components):
            return _TOLD[told]
    if "$ref" in schema:
        title = schema["$ref"].removeprefix(PREFIX)
        return example(components[title], components, name, title)
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return example(schema[choices][0], components, name, owner)
    declared = [schema.get("default"), *schema.get("enum", ())]
    found = next((value for value in declared if value is not None), None)
    return _of_type(schema, components, name, owner) if found is None else found


def _of_type(schema: Schema, components: Components, name: str, owner: str) -> Json:
    match schema.get("type"):
        case "object":
            return _object(schema, components, name, owner)
        case "array":
            return [example(schema.get("items", {}), components, name + "[]", owner)]
        case "string":
            return _text(schema, name, owner)
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return None


def _object(schema: Schema, components: Components, name: str, owner: str) -> Json:
    if "properties" in schema:
        title = schema.get("title", owner)
        return {field: example(kind, components, field, title) for field, kind in schema["properties"].items()}
    values = schema.get("additionalProperties")
    return {_key(name): example(values, components, name + "{}", owner)} if isinstance(values, dict) else {}


def _text(schema: Schema, name: str, owner: str) -> str:
    if schema.get("format") == "date-time":
        return "2026-11-16T09:30:00Z"
    thing = _THINGS.get(owner.removesuffix("View"))
    return f"{thing}_{_ULID}" if name == "id" and thing is not None else UNTOLD


def _key(name: str) -> str:
    return "listing_id" if name == "subject" else "purchase_id" if name == "refs" else name


def _fits(value: Json, schema: Schema, components: Components) -> bool:
    """Whether the table means this field: a name may stand for a text here and for an object there."""
    if "$ref" in schema:
        return _fits(value, components[schema["$ref"].removeprefix(PREFIX)], components)
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return any(_fits(value, choice, components) for choice in schema[choices])
    if "enum" in schema:
        return value in schema["enum"]
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return "type" not in schema or schema["type"] == names.get(type(value), "null")
