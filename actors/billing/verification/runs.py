"""Every closed run was reserved, and every reservation is for a run that somebody will close."""

from __future__ import annotations

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.streams import keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings


async def verify_runs(audit: LedgerAudit, findings: Findings) -> None:
    reserves, closes = audit.run_reserves(), audit.run_closes()
    async for key in keys_of(reserves, closes):
        if (await reserves.take(key) is None) != (await closes.take(key) is None):
            findings.add(await _confirm_run(audit, key))


async def _confirm_run(audit: LedgerAudit, key: str) -> list[Violation]:
    reserved, closed, runs = await audit.run(key)
    if closed and not reserved:
        return [Violation("run_close_without_reserve", key, "it was closed, and nothing was reserved for it")]
    if reserved and not closed and not runs:
        return [Violation("hold_without_run", key, "credits are reserved for it, and there is no such run")]
    return []
