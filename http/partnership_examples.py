"""What the examples of partnerships say; see `http/examples.py`."""

from __future__ import annotations

from typing import Any

_ULID = "01k8y3w5q2m7t9x4c6v1b8n0ra"
TOLD: dict[str, Any] = {  # Any: JSON
    "partner_id": f"ptn_{_ULID}",
    "PartnershipRowView.id": f"ptn_{_ULID}",
    "PartnershipView.name": "The Prompt Review",
    "PartnershipRowView.name": "The Prompt Review",
    "website": "https://review.example.com",
    "plan": "A weekly letter to 4,000 people who write prompts for newsrooms.",
    "appeal": None,
    "PartnershipReasonView.words": "What you do reaches people who have a use for prompts.",
    "PartnershipDecisionView.words": "What you do reaches people who have a use for prompts.",
    "PartnershipReasonView.next_step": "Make a referral code and a link.",
    "PartnershipDecisionView.next_step": "Make a referral code and a link.",
    "PartnershipDecisionView.note": "Your letter reaches the people who would buy here.",
    "PartnershipEventView.event": "approve",
    "PartnershipEventView.reason_code": "good_fit",
    "PartnershipEventView.note": "Your letter reaches the people who would buy here.",
    "PartnershipEventView.by": f"usr_{_ULID}",
    "DecidePartnership.commission_bp": 300,
}
