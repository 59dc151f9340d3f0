"""Apps and tokens between two processes: what is good until when, and what an account's end leaves of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from promptforge.actors.partnerships.apps.messages import (
    CreatePartnerApp,
    DeletePartnerApp,
    IssueAppToken,
    ListPartnerApps,
    PartnerAppSecretView,
    RenamePartnerApp,
    ResolveAppToken,
    RotateAppSecret,
)
from promptforge.actors.partnerships.apps.store import AppStore, Token
from promptforge.actors.partnerships.messages import LeavePartnerships, PartnershipDecision
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.identity import DevelopmentVerifier, Principals
from promptforge.core.identity.tokens import RevokedToken
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.deploy.identity import judging_again, provisioner
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.partnerships.partners import decide, partner
from tests.support.market import Market, raised

pytestmark = pytest.mark.anyio
SCOPES = ("listings:read", "prompts:read")


def service(market: Market) -> Context:
    return market.process.system.context(request_id="test", trusted=True)


async def app_of(pat: Context, partner_id: str, name: str = "Review site") -> PartnerAppSecretView:
    return await pat.ask(CreatePartnerApp(partner_id=partner_id, name=name, scopes=SCOPES))


def asking(app: PartnerAppSecretView, *scopes: str) -> IssueAppToken:
    assert app.secret is not None
    return IssueAppToken(client_id=app.id, secret=app.secret, scopes=scopes or None)


async def test_a_token_is_good_in_every_process_until_it_runs_out(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app = await app_of(pat, made.id)
    token = await service(branches.here).ask(asking(app, "prompts:read"))
    assert token.scopes == ("prompts:read",)
    found = await service(branches.there).ask(ResolveAppToken(token=token.token))
    assert found is not None
    assert (found.identity.user_id, found.key_id, found.scopes) == (pat.user_id, app.id, ("prompts:read",))
    (listed,) = (await pat.ask(ListPartnerApps(partner_id=made.id))).items
    assert listed.last_used_at is not None
    past = pat.now() - timedelta(milliseconds=1)
    await mongo.collection("partner_app_tokens").update_many({}, {"$set": {"expires_at": past}})
    assert await service(branches.there).ask(ResolveAppToken(token=token.token)) is None


async def test_an_app_is_given_no_more_than_it_has(branches: Branches) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    app = await app_of(pat, (await partner(pat, admin)).id)
    here = service(branches.here)
    assert await raised(here, asking(app, "prompts:write")) == "scope_not_granted"
    assert await raised(here, asking(app, "prompts:read", "prompts:write")) == "scope_not_granted"
    assert await raised(here, IssueAppToken(client_id=app.id, secret="pfs_wrong")) == "wrong_credentials"
    assert (await here.ask(asking(app))).scopes == SCOPES


async def test_the_old_secret_ends_when_it_is_said_to(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app, here = await app_of(pat, made.id), service(branches.here)
    await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id))
    assert await raised(here, asking(app)) == "done"
    until = {"old_until": pat.now()}
    await mongo.collection("partner_apps").update_one({"_id": app.id}, {"$set": until})
    assert await raised(here, asking(app)) == "wrong_credentials"


async def test_a_leaked_secret_ends_also_the_token_that_is_being_written(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret was found good before the rotation, and its token is written after it."""
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app, here, there = await app_of(pat, made.id), service(branches.here), service(branches.there)
    insert = AppStore.insert_token

    async def rotated_before(store: AppStore, secret: str, token: Token, *, now: datetime) -> None:
        monkeypatch.setattr(AppStore, "insert_token", insert)
        await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id, leaked=True))
        await insert(store, secret, token, now=now)

    before = await there.ask(asking(app))
    monkeypatch.setattr(AppStore, "insert_token", rotated_before)
    between = await there.ask(asking(app))
    for process in (here, there):
        assert await process.ask(ResolveAppToken(token=between.token)) is None
        assert await process.ask(ResolveAppToken(token=before.token)) is None
    assert await raised(here, asking(app)) == "wrong_credentials"


async def test_apps_and_tokens_from_before_there_were_generations_are_good(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app, here = await app_of(pat, made.id), service(branches.here)
    token = await here.ask(asking(app))
    for collection in ("partner_apps", "partner_app_tokens"):
        await mongo.collection(collection).update_many({}, {"$unset": {"generation": ""}})
    assert await here.ask(ResolveAppToken(token=token.token)) is not None
    rotated = await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id, leaked=True))
    assert await here.ask(ResolveAppToken(token=token.token)) is None
    after = await here.ask(asking(rotated))
    assert await here.ask(ResolveAppToken(token=after.token)) is not None
    await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id))
    assert await here.ask(ResolveAppToken(token=after.token)) is not None, "a rotation ends no token"


async def test_what_was_given_while_it_was_suspended_does_not_count_in_any_process(branches: Branches) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app = await app_of(pat, made.id)
    here, there = service(branches.here), service(branches.there)
    token = await here.ask(asking(app))
    outcomes = await all_at_once([(there, asking(app)) for _ in range(5)])
    assert outcomes == {"done": 5}
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    for process in (here, there):
        assert await raised(process, asking(app)) == "app_stopped"
        assert await process.ask(ResolveAppToken(token=token.token)) is None
    await decide(admin, made.id, PartnershipDecision.LIFT)
    assert await there.ask(ResolveAppToken(token=token.token)) is not None


async def test_every_change_that_ends_tokens_is_written_to_the_app_for_the_caches(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app = await app_of(pat, made.id)

    async def told() -> object:
        row = await mongo.collection("partner_apps").find_one({"_id": app.id})
        return None if row is None else row.get("judge_anew")

    seen = [await told()]
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    seen.append(await told())
    await decide(admin, made.id, PartnershipDecision.LIFT)
    seen.append(await told())
    await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id))
    assert await told() == seen[-1], "a rotation ends no token"
    await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id, leaked=True))
    seen.append(await told())
    await service(branches.here).ask(LeavePartnerships(user_id=pat.user_id))
    seen.append(await told())
    assert len(set(seen)) == 5


async def test_another_partners_app_is_not_there(branches: Branches) -> None:
    pat, eve = await branches.here.person("pat"), await branches.here.person("eve")
    admin = await branches.here.person("admin", Role.ADMIN)
    mine, hers = await partner(pat, admin), await partner(eve, admin)
    app = await app_of(pat, mine.id)
    for partner_id in (mine.id, hers.id):
        assert await raised(eve, RotateAppSecret(partner_id=partner_id, app_id=app.id)) == "not_found"
        assert await raised(eve, DeletePartnerApp(partner_id=partner_id, app_id=app.id)) == "not_found"
    assert await raised(eve, ListPartnerApps(partner_id=mine.id)) == "not_found"
    assert await raised(eve, CreatePartnerApp(partner_id=mine.id, name="x", scopes=SCOPES)) == "not_found"


async def test_secrets_are_told_of_and_kept_in_the_audit_log(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app = await app_of(pat, made.id)
    await pat.ask(RotateAppSecret(partner_id=made.id, app_id=app.id))
    await pat.ask(RenamePartnerApp(partner_id=made.id, app_id=app.id, name="Another name"))
    await pat.ask(DeletePartnerApp(partner_id=made.id, app_id=app.id))
    told = [one.kind for one in await branches.here.notices(pat)]
    assert told.count("partnership.app_secret") == 2
    deeds = [one.action for one in (await AuditLog(mongo).list_page(AuditFilter(target=app.id), None, 9)).items]
    assert deeds == ["partner_app.deleted", "partner_app.renamed", "partner_app.rotated", "partner_app.created"]


async def test_of_apps_made_in_two_processes_at_once_there_are_ten(branches: Branches) -> None:
    here, there = await branches.person("pat")
    admin = await branches.here.person("admin", Role.ADMIN)
    made = await partner(here, admin)
    wanted = CreatePartnerApp(partner_id=made.id, name="One of many", scopes=SCOPES)
    outcomes = await all_at_once([(who, wanted) for who in (here, there)] * 8)
    assert outcomes == {"done": 10, "too_many_apps": 6}


async def test_a_stream_of_an_app_ends_when_it_is_looked_at_again(branches: Branches) -> None:
    """What an event stream asks once a minute, of whom its token was."""
    pat, admin = await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app = await app_of(pat, made.id)
    system = branches.here.process.system
    verifier = DevelopmentVerifier("demo-promptforge")
    judge = judging_again(system, Principals(verifier, provisioner(system)))
    asker = Principal(pat.user_id, "pat", scopes=frozenset(SCOPES), key_id=app.id)
    again = await judge(asker)
    assert (again.user_id, again.scopes, again.key_id) == (pat.user_id, asker.scopes, app.id)
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    with pytest.raises(RevokedToken):
        await judge(asker)
    await judge(Principal(pat.user_id, "pat"))
