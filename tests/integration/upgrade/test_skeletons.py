"""Names from when `rn` and `vv` were drawn together: they are found, and taken, by what looks like them now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.packages.registry.store import INDEXES as PACKAGE_INDEXES
from promptforge.actors.partnerships.referrals.store import INDEXES as REFERRAL_INDEXES
from promptforge.actors.partnerships.referrals.store import CodeStore
from promptforge.actors.users.handles.domain import held_as
from promptforge.actors.users.handles.store import INDEXES as HANDLE_INDEXES
from promptforge.actors.users.handles.store import HandleStore
from promptforge.core.alike import drawn_together
from promptforge.core.mongo import Mongo, ensure_indexes, run_migrations
from promptforge.deploy.migrations import MIGRATIONS

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 26, tzinfo=UTC)
WRITTEN_OUT = [one for one in MIGRATIONS if one.number == 14]


async def migrate(mongo: Mongo) -> None:
    """Twice, as where a process has died before it was recorded."""
    await ensure_indexes(mongo, {**HANDLE_INDEXES, **REFERRAL_INDEXES, **PACKAGE_INDEXES})
    await run_migrations(mongo, WRITTEN_OUT)
    await mongo.collection("migrations").delete_many({})
    await run_migrations(mongo, WRITTEN_OUT)


def row(handle: str, owner: str, *, given_up: bool = False) -> dict[str, object]:
    fields = {"user_id": owner, "spellings": [handle], "given_up_at": NOW - timedelta(days=1) if given_up else None}
    return {"_id": drawn_together(handle), **fields}


async def test_handles_lead_to_who_has_them_and_are_taken(mongo: Mongo) -> None:
    rows = [row("modern-swan", "usr_a"), row("ada", "usr_b"), row("willow", "usr_c", given_up=True)]
    await mongo.collection("handles").insert_many(rows)
    await migrate(mongo)
    handles = HandleStore(mongo)
    for handle, owner in (("modern-swan", "usr_a"), ("ada", "usr_b"), ("willow", "usr_c")):
        assert await handles.find_owner(handle, now=NOW, session=None) == owner
        assert not await handles.claim(handle, "usr_eve", now=NOW, session=None)
    assert not await handles.claim("rnodern-svvan", "usr_eve", now=NOW, session=None)
    assert await mongo.collection("handles").count_documents({}) == 3


async def test_of_two_that_nobody_saw_to_be_alike_who_has_it_keeps_the_place(mongo: Mongo) -> None:
    rows = [row("wv-fan", "usr_a", given_up=True), row("vw-fan", "usr_b")]
    await mongo.collection("handles").insert_many(rows)
    await migrate(mongo)
    (left,) = await mongo.collection("handles").find({}).to_list(None)
    assert (left["user_id"], left["spellings"]) == ("usr_b", ["vw-fan"])


async def test_what_is_held_back_of_the_erased_stays_so(mongo: Mongo) -> None:
    until = NOW + timedelta(days=30)
    await mongo.collection("held_handles").insert_one({"_id": held_as(drawn_together("willow")), "until": until})
    await migrate(mongo)
    assert not await HandleStore(mongo).claim("vvillovv", "usr_eve", now=NOW, session=None)


async def test_referral_codes_and_names_of_packages_are_found(mongo: Mongo) -> None:
    code = {"code": "summer", "partner_id": "ptn_1", "owner": "usr_a", "label": None, "created_at": NOW}
    code |= {"deactivated_at": None}
    await mongo.collection("referral_codes").insert_one({"_id": drawn_together("summer"), **code})
    kits = [("pkg_1", "news-kit"), ("pkg_2", "mail-kit"), ("pkg_3", "vw-kit"), ("pkg_4", "wv-kit")]
    for package_id, name in kits:
        key = drawn_together(name.replace("-", ""))
        kit = {"_id": package_id, "publisher_id": "usr_a", "name": name, "name_key": key}
        await mongo.collection("packages").insert_one(kit)
    await migrate(mongo)
    found = await CodeStore(mongo).find("SUMMER")
    assert found is not None
    assert found.code == "summer"
    keys = {one["_id"]: one["name_key"] async for one in mongo.collection("packages").find({})}
    assert keys["pkg_1"] == "nevvsklt"
    assert keys["pkg_2"] == "rnallklt"
    assert sorted((keys["pkg_3"], keys["pkg_4"])) in (["vvvklt", "wvklt"], ["vvvklt", "vwklt"])
