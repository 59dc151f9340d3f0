"""What all stores hold of people, and what deletes accounts by that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from promptforge.actors.accounts import AccountsActor, PersonalExportsActor
from promptforge.actors.accounts import store as deletions
from promptforge.actors.accounts.exports import store as exports
from promptforge.actors.accounts.records import PersonalRecords
from promptforge.actors.ai.models import store as ai_models
from promptforge.actors.ai.usage import store as ai_usage
from promptforge.actors.analytics import store as analytics
from promptforge.actors.billing import ObligationsActor
from promptforge.actors.billing import store as billing
from promptforge.actors.datasets import store as datasets
from promptforge.actors.evaluations import store as evaluations
from promptforge.actors.marketplace import store as marketplace
from promptforge.actors.moderation import store as moderation
from promptforge.actors.packages import store as packages
from promptforge.actors.partnerships import store as partnerships
from promptforge.actors.projects import store as projects
from promptforge.actors.prompts import store as prompts
from promptforge.actors.users import store as users
from promptforge.actors.users.handles import store as handles
from promptforge.actors.users.keys import store as api_keys
from promptforge.actors.users.roles import store as roles
from promptforge.actors.users.roles.actor import RolesActor
from promptforge.actors.users.roles.mirroring import RoleMirrorActor
from promptforge.actors.users.staff import history
from promptforge.actors.users.staff.actor import PeopleActor
from promptforge.actors.users.staff.appeals import SuspensionsActor
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core import audit
from promptforge.core.jobs import documents as jobs
from promptforge.core.mongo import Files, Index, Mongo
from promptforge.core.personal import Held, Subject, nobody
from promptforge.core.runtime import Actor
from promptforge.deploy import notifying
from promptforge.deploy.settings import Settings
from promptforge.http import counters, idempotency

INDEXES: dict[str, tuple[Index, ...]] = {
    **deletions.INDEXES,
    **exports.INDEXES,
    **handles.INDEXES,
    **history.INDEXES,
    **roles.INDEXES,
}


def _files(path: str) -> tuple[Subject, ...]:
    """Whose a file is, is said where its id is kept."""
    return (
        Subject(path, of="exports:file_ids", deleted=True, exported=False),
        Subject(path, of="personal_exports:file_ids", deleted=True, exported=False),
        Subject(path, of="package_uploads", deleted=True, exported=False),
        Subject(path, of="package_versions:file_ids", deleted=True, exported=False, with_owner=True),
    )


HELD: dict[str, Held] = {
    **users.HELD,
    **deletions.HELD,
    **exports.HELD,
    **handles.HELD,
    **history.HELD,
    **roles.HELD,
    **api_keys.HELD,
    **billing.HELD,
    **projects.HELD,
    **ai_models.HELD,
    **ai_usage.HELD,
    **prompts.HELD,
    **datasets.HELD,
    **packages.HELD,
    **partnerships.HELD,
    **evaluations.HELD,
    **notifying.HELD,
    **marketplace.HELD,
    **moderation.HELD,
    **analytics.HELD,
    **jobs.HELD,
    **audit.HELD,
    **counters.HELD,
    **idempotency.HELD,
    "files.files": Held("The files of your exports, uploads and packages", _files("_id"), plain=frozenset({"*"})),
    "files.chunks": Held("Pieces of these files", _files("files_id"), plain=frozenset({"*"})),
    "migrations": nobody("Which migrations of the database were done"),
}
"""By collection: a test fails for one that is not here, and for a text that none of them declares."""


class SignIns(Protocol):
    """Where people's accounts are kept; see `core.identity.TokenVerifier`."""

    async def disable_account(self, uid: str) -> None: ...

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None: ...


class NoSignIns:
    """Where no accounts are kept, there is nothing to end and nobody to tell."""

    async def disable_account(self, uid: str) -> None:
        """There is none."""

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        """There are no claims."""


NO_SIGN_INS = NoSignIns()


ACTOR_TYPES: tuple[type[Actor], ...] = (
    PeopleActor,
    SuspensionsActor,
    RolesActor,
    RoleMirrorActor,
    AccountsActor,
    PersonalExportsActor,
)


def build_actors(mongo: Mongo, settings: Settings, ledger: billing.Ledger, *, sign_ins: SignIns) -> list[Actor]:
    """`sign_ins`: where people's accounts are kept."""
    people, events = AccountStore(mongo), history.AccountHistory(mongo)
    records = PersonalRecords(mongo, HELD)
    return [
        PeopleActor(people, events, appeal_for=timedelta(days=settings.appeal_days)),
        SuspensionsActor(people, events),
        RolesActor(roles.RoleStore(mongo), people),
        RoleMirrorActor(roles.RoleStore(mongo), sign_ins.put_roles),
        PersonalExportsActor(exports.PersonalExportStore(mongo), records, Files(mongo)),
        ObligationsActor(
            ledger, billing.CheckoutStore(mongo), billing.PayoutStore(mongo), billing.SubscriptionStore(mongo)
        ),
        AccountsActor(
            deletions.DeletionStore(mongo),
            records,
            days=settings.account_deletion_days,
            disable=sign_ins.disable_account,
        ),
    ]
