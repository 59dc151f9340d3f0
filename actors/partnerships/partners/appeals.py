"""Who may decide while an appeal waits, and about it."""

from __future__ import annotations

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.partnerships.errors import OwnForfeiture, OwnSuspension
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.partners.history import PartnerHistory
from promptforge.actors.users.messages import ListAdministrators
from promptforge.core.context import Context


async def expect_another(partner: Partner, history: PartnerHistory, tx: Context) -> None:
    """What an appeal is about is not decided by who suspended, where another administrator could.

    Raises `OwnSuspension`.
    """
    if partner.appealed_at is None:
        return
    suspender = await history.find_suspender(partner.id, session=tx.session)
    if await _is_theirs(suspender, partner, tx):
        raise OwnSuspension


async def expect_another_than(decider: str | None, partner: Partner, tx: Context) -> None:
    """The same of who decided what an appeal is against. Raises `OwnForfeiture`."""
    if await _is_theirs(decider, partner, tx):
        raise OwnForfeiture


async def _is_theirs(decider: str | None, partner: Partner, tx: Context) -> bool:
    """Whether it was this administrator, or an account linked to theirs, and another one could decide."""
    mine = await tx.ask(GetAccountGroup(user_id=tx.user_id))
    if decider not in mine:
        return False
    owners = await tx.ask(GetAccountGroup(user_id=partner.owner))
    return bool(set(await tx.ask(ListAdministrators())).difference(mine, owners))
