"""Evidence: the scorecard of a finished evaluation of exactly the version that a listing sells.

It is a snapshot, made by the service and not by the seller. A listing that sells another version keeps showing it, as
outdated and with the reason, until its seller attaches another one or takes it away. So does one whose dataset is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from promptforge.actors.evaluations.messages import Scorecard
from promptforge.actors.marketplace.errors import EvidenceMismatch
from promptforge.actors.marketplace.messages import EvidenceState, EvidenceView
from promptforge.core.errors import NotFound

Row = dict[str, Any]  # Any: a MongoDB document
_UNTOLD = frozenset({"content_hash", "dataset_id", "dataset_gone"})
_GONE = "Its dataset was deleted, so nobody can repeat it"


def evidence_row(card: Scorecard, *, prompt_id: str, version: int, content_hash: str, now: datetime) -> Row:
    """What a listing of this version keeps. Raises `NotFound` for another prompt's, `EvidenceMismatch`."""
    if card.prompt_id != prompt_id:
        raise NotFound("There is no such evaluation of what the listing sells")
    if (card.version, card.content_hash) != (version, content_hash):
        raise EvidenceMismatch(
            f"The evaluation is of version {card.version}, and the listing sells version {version}",
            extra={"evaluated_version": card.version, "version": version},
        )
    return {
        "evaluation_id": card.evaluation_id,
        "version": card.version,
        "content_hash": card.content_hash,
        "model": card.model,
        "tiny_model": card.tiny_model,
        "dataset_id": card.dataset_id,
        "dataset_name": card.dataset_name,
        "dataset_revision": card.dataset_revision,
        "scorers": [scorer.value for scorer in card.scorers],
        "items": card.summary.items,
        "passed": card.summary.passed,
        "pass_rate": card.summary.pass_rate,
        "mean_score": card.summary.mean_score,
        "evaluated_at": card.finished_at,
        "attached_at": now,
    }


def evidence_view(row: Row | None, *, version: int, content_hash: str) -> EvidenceView | None:
    if row is None:
        return None
    told = {name: value for name, value in row.items() if name not in _UNTOLD}
    told["scorers"] = tuple(row["scorers"])
    if row.get("dataset_gone"):
        return EvidenceView(state=EvidenceState.OUTDATED, outdated_because=_GONE, **told)
    if (row["version"], row["content_hash"]) == (version, content_hash):
        return EvidenceView(state=EvidenceState.CURRENT, outdated_because=None, **told)
    because = f"It is about version {row['version']}, and the listing sells version {version}"
    return EvidenceView(state=EvidenceState.OUTDATED, outdated_because=because, **told)
