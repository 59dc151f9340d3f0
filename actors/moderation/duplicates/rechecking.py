"""Of two copies that were checked before either was approved, the second is held until a moderator has seen the first.

A check compares with what was decided before it, so two copies that are checked at once know nothing of each other.
Whoever approves therefore takes turns, and looks again, in the approving transaction, at what was decided since the
check. What is found is with the case then: it decides nothing, and who has seen it may approve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from anyio import to_thread

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint, likeness, sharing
from promptforge.actors.moderation.duplicates.looking import MOST_NAMED, finding_of
from promptforge.actors.moderation.duplicates.store import MOST_DECIDED, FingerprintStore, Known
from promptforge.core.mongo import Session

OVERLAP = timedelta(minutes=5)
"""The index of a check may be some seconds behind, and so may clocks."""
_TOO_MANY = Finding(
    Check.COVERAGE,
    Severity.MEDIUM,
    "not_all_compared",
    f"More than {MOST_DECIDED} texts were decided about since the checks ran, and not all of them were compared: give "
    "the case back and claim it again, and the checks look at all of them",
)


class Rechecks:
    def __init__(self, fingerprints: FingerprintStore) -> None:
        self._fingerprints = fingerprints

    async def find_unseen(
        self,
        listing_id: str,
        version: int,
        *,
        seller_id: str,
        seen: Iterable[Finding],
        checked_at: datetime,
        session: Session | None,
    ) -> list[Finding]:
        """Copies of the same passages that were decided about since the check, where a moderator has seen none so far.

        Where that is more than is looked at here, a finding says so, once. Nothing where the check has not run: no case
        waits for it.
        """
        copies = [one for one in seen if one.check is Check.NEAR_DUPLICATE and one.severity is Severity.HIGH]
        if copies:
            return []
        own = await self._fingerprints.list_own(listing_id, version, session=session)
        if not own:
            return []
        decided = await self._fingerprints.list_decided_since(checked_at - OVERLAP, listing_id, session=session)
        found = await to_thread.run_sync(_copies, own, decided[:MOST_DECIDED], seller_id)
        if len(decided) > MOST_DECIDED and not any(one.code == _TOO_MANY.code for one in seen):
            found.append(_TOO_MANY)
        return found


def _copies(own: Sequence[Fingerprint], decided: Sequence[Known], seller_id: str) -> list[Finding]:
    found: dict[str, Finding] = {}
    for mine, other in sharing(own, [known.fingerprint for known in decided]):
        known = decided[other]
        if known.refused is None and known.seller_id == seller_id:
            continue  # it would be told, and hold nothing
        finding = finding_of(likeness(own[mine], known.fingerprint), known, own=known.seller_id == seller_id)
        if finding is not None and finding.severity is Severity.HIGH:
            found.setdefault(known.listing_id, finding)
        if len(found) == MOST_NAMED:
            break
    return list(found.values())
