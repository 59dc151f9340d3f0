"""What the examples of partnerships say; see `http/examples.py`."""

from __future__ import annotations

from typing import Any

_ULID = "01k8y3w5q2m7t9x4c6v1b8n0ra"
_APP = f"app_{_ULID}"
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
    "PartnerAppView.id": _APP,
    "PartnerAppSecretView.id": _APP,
    "app_id": _APP,
    "PartnerAppView.name": "Review site",
    "PartnerAppView.prefix": "pfs_7Kq2mTz9",
    "PartnerAppView.scopes[]": "listings:read",
    "PartnerAppsView.available_scopes[]": "listings:read",
    "PartnerAppSecretView.secret": "pfs_7Kq2mTz9Lr4VxWc6Hn1BdYs8Pf3GjQ5Ua0EoXi0kR2tM",
    **dict.fromkeys(
        ("ReferralCodeView.code", "ReferralCodeSums.code", "AttributionView.code", "FollowReferralLink.code"),
        "prompt-review",
    ),
    "ReferralCodeView.label": "The letter of November",
    "ReferralCodeView.active": True,
    "ReferralCodeView.deactivated_at": None,
    "ReferralTouchView.token": "cHJvbXB0LXJldmlldw.x1-2cQ9f0aVbT3mJk4L6Zw",
    "ClaimReferral.tokens": ["cHJvbXB0LXJldmlldw.x1-2cQ9f0aVbT3mJk4L6Zw"],
    "CollectionView.collection_id": f"col_{_ULID}",
    "CollectEarnings.amount": "4.25",
    "DecideFrozenEarnings.reason": "The clicks were from a talk, and the buyers are people.",
    "DecideForfeitAppeal.reason": "The clicks were from a talk, and the buyers are people.",
    "EarningsView.earned": "4.25",
}
