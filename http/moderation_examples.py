"""What the examples of moderation say; see `http/examples.py`."""

from __future__ import annotations

from typing import Any

TOLD: dict[str, Any] = {  # Any: JSON
    "CaseView.reason": None,
    "CaseView.purchase_id": None,
    "Finding.code": "openai_key",
    "Finding.detail": "This looks like a key of OpenAI",
    "Finding.listing_id": None,
    "Finding.score": None,
    "ReasonView.words": "It meets the guidelines.",
    "RecommendationView.words": "The description promises translations, and the prompt only summarises.",
    "RecommendationView.reason_code": "misleading",
    "RecommendationView.decision": "request_changes",
    "because": None,
}
