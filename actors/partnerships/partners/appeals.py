"""Who may decide while an appeal against a suspension waits."""

from __future__ import annotations

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.partnerships.errors import OwnSuspension
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
    mine = await tx.ask(GetAccountGroup(user_id=tx.user_id))
    if await history.find_suspender(partner.id, session=tx.session) not in mine:
        return
    owners = await tx.ask(GetAccountGroup(user_id=partner.owner))
    if set(await tx.ask(ListAdministrators())).difference(mine, owners):
        raise OwnSuspension
