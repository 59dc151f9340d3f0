"""Every checkpoint is over what it sealed, and the chain of them is the one whose heads were kept."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.messages import LedgerSeal, Violation
from promptforge.actors.billing.verification.findings import Findings


async def verify_seals(seals: LedgerSeals, findings: Findings, kept: Sequence[LedgerSeal]) -> None:
    """The head comes first: the chain may grow while it is walked."""
    findings.seal = await seals.find_head()
    async for broken in seals.broken(findings.seal, kept):
        findings.add([Violation("seal", str(broken.number), broken.detail)])
