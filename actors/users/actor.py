"""Signs people in and keeps their profiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.actors.users.domain import (
    User,
    changes_of,
    first_display_name,
    normal_handle,
    public_view,
    search_document,
    stored_roles,
)
from promptforge.actors.users.errors import HandleMoved, HandleTaken, TooManyHandles
from promptforge.actors.users.handles.domain import MOST_KEPT
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.messages import (
    CloseAccount,
    Contact,
    CountOnAdministrators,
    EnsureUser,
    EraseUser,
    ExpectOpenAccounts,
    FindStoppedAccounts,
    GetContact,
    GetIdentity,
    GetMe,
    GetNames,
    GetPublicProfile,
    HoldBackHandles,
    Identity,
    IsAccountClosed,
    ListAdministrators,
    MeView,
    PersonName,
    PublicProfileView,
    ReadPersonDocuments,
    ScanPersonDocuments,
    UpdateProfile,
)
from promptforge.actors.users.store import UserStore
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, AccountSuspended, NotFound
from promptforge.core.ids import new_id
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles


class _SomebodyWasFaster(Exception):
    """The uid has a user already."""


class UsersActor(Actor):
    name = "users"

    def __init__(self, store: UserStore, handles: HandleStore) -> None:
        self._store = store
        self._handles = handles

    @handles(EnsureUser, key="uid")
    async def ensure(self, message: EnsureUser, context: Context) -> Identity:
        """The key makes one process's first requests wait for each other; between processes the unique uid decides."""
        user = await self._store.find_by_uid(message.uid)
        if user is None:
            user = await self._provision(message, context)
        if user.closed_at is not None:
            raise AccountClosed
        if message.as_of > user.said_at or (message.as_of == user.said_at and _says_other(message, user)):
            user_id = user.id
            user = await context.transaction(lambda tx: self._bring_up_to(message, user_id, tx))
        return user.identity()

    async def _bring_up_to(self, message: EnsureUser, user_id: str, tx: Context) -> User:
        """Whether roles were decided is read in the transaction: a decision beside it makes it begin again."""
        before = await self._store.get(user_id, session=tx.session)
        user = await self._store.bring_up_to(user_id, _said(message, before), as_of=message.as_of, session=tx.session)
        if user.roles != before.roles:
            was, is_now = {"roles": _names(before.roles)}, {"roles": _names(user.roles)}
            await tx.audit("user.roles_changed", user_id, before=was, after=is_now)
        return user

    async def _provision(self, message: EnsureUser, context: Context) -> User:
        now = context.now()
        user = User(
            id=new_id("usr"),
            uid=message.uid,
            email=message.email,
            handle=None,
            display_name=first_display_name(message.name),
            bio=None,
            avatar_url=None,
            links=(),
            roles=stored_roles(message.roles),
            suspended=False,
            said_at=message.as_of,
            created_at=now,
            updated_at=now,
        )

        if await self._insert(user, context):
            return user
        faster = await self._store.find_by_uid(message.uid)
        if faster is None:
            raise NotFound("The account was removed while it signed in")
        return faster

    async def _insert(self, user: User, context: Context) -> bool:
        """False where somebody else was faster. Who begins with rights beyond a user's is in the audit log."""
        if set(user.roles) <= {Role.USER}:
            return await self._store.insert(user)

        async def work(tx: Context) -> None:
            if not await self._store.insert(user, session=tx.session):
                raise _SomebodyWasFaster  # and has aborted this transaction
            await tx.audit("user.roles_changed", user.id, before={"roles": []}, after={"roles": _names(user.roles)})

        try:
            await context.transaction(work)
        except _SomebodyWasFaster:
            return False
        return True

    @handles(GetIdentity, transactional=True)
    async def get_identity(self, message: GetIdentity, context: Context) -> Identity | None:
        user = await self._store.find(message.user_id, session=context.session)
        return None if user is None or user.closed_at is not None else user.identity()

    @handles(GetContact, transactional=True)
    async def get_contact(self, message: GetContact, context: Context) -> Contact | None:
        user = await self._store.find(message.user_id, session=context.session)
        return (
            None
            if user is None or user.closed_at is not None
            else Contact(user.id, user.email, user.display_name, user.suspended)
        )

    @handles(GetMe, transactional=True)
    async def get_me(self, message: GetMe, context: Context) -> MeView:
        return (await self._store.get(context.user_id, session=context.session)).me()

    @handles(UpdateProfile, transactional=True)
    async def update_profile(self, message: UpdateProfile, context: Context) -> MeView:
        changes = changes_of(message)
        if not changes:
            return (await self._store.get(context.user_id, session=context.session)).me()
        if "handle" in changes:
            return await context.transaction(lambda tx: self._rename(changes, tx))
        user = await self._store.update(context.user_id, changes, now=context.now(), session=context.session)
        return user.me()

    async def _rename(self, changes: dict[str, Any], tx: Context) -> MeView:
        """The handle before leads to its owner for a while. Both write the person: of two at once one begins again."""
        user_id, now, handle = tx.user_id, tx.now(), changes["handle"]
        before = (await self._store.get(user_id, session=tx.session)).handle
        if before is not None and before != handle:
            await self._handles.give_up(before, user_id, now=now, session=tx.session)
        if handle is not None:
            kept = await self._handles.count_kept(user_id, beside=handle, now=now, session=tx.session)
            if kept > MOST_KEPT:
                raise TooManyHandles(f"{MOST_KEPT} handles that you had are kept for you: take one of those, or wait")
        if handle is not None and not await self._handles.claim(handle, user_id, now=now, session=tx.session):
            raise HandleTaken("Somebody has this handle, or one that looks like it, or had it until not long ago")
        return (await self._store.update(user_id, changes, now=now, session=tx.session)).me()

    @handles(GetNames, transactional=True)
    async def get_names(self, message: GetNames, context: Context) -> tuple[PersonName, ...]:
        users = await self._store.list_these(message.user_ids, session=context.session)
        return tuple(PersonName(user.id, user.handle, user.display_name) for user in users)

    @handles(ListAdministrators, transactional=True)
    async def list_administrators(self, message: ListAdministrators, context: Context) -> tuple[str, ...]:
        return await self._store.list_administrators(session=context.session)

    @handles(CountOnAdministrators, transactional=True)
    async def count_on(self, message: CountOnAdministrators, context: Context) -> None:
        await self._store.count_on(message.user_ids, now=context.now(), session=context.session)

    @handles(GetPublicProfile, transactional=True)
    async def get_public_profile(self, message: GetPublicProfile, context: Context) -> PublicProfileView:
        handle = normal_handle(message.handle)
        user = await self._store.find_by_handle(handle, session=context.session)
        if user is None:
            owner = await self._handles.find_owner(handle, now=context.now(), session=context.session)
            user = None if owner is None else await self._store.find(owner, session=context.session)
        if user is None or user.handle is None or user.suspended or user.closed_at is not None:
            raise NotFound("Nobody has this handle")
        if user.handle != handle:
            raise HandleMoved(location=user.handle)
        return public_view(user, handle)

    # The end of an account

    @handles(ExpectOpenAccounts, transactional=True)
    async def expect_open(self, message: ExpectOpenAccounts, context: Context) -> None:
        stopped = await self._store.list_stopped(message.user_ids, session=context.session)
        if stopped:
            raise AccountClosed if any(user.closed_at is not None for user in stopped) else AccountSuspended

    @handles(IsAccountClosed, transactional=True)
    async def is_closed(self, message: IsAccountClosed, context: Context) -> bool:
        stopped = await self._store.list_stopped((message.user_id,), session=context.session)
        return any(user.closed_at is not None for user in stopped)

    @handles(FindStoppedAccounts, transactional=True)
    async def find_stopped(self, message: FindStoppedAccounts, context: Context) -> tuple[str, ...]:
        return tuple([user.id for user in await self._store.list_stopped(message.user_ids, session=context.session)])

    @handles(CloseAccount, transactional=True)
    async def close(self, message: CloseAccount, context: Context) -> None:
        await self._store.close(message.user_id, now=context.now(), session=context.session)

    @handles(HoldBackHandles)
    async def hold_back_handles(self, message: HoldBackHandles, context: Context) -> None:
        await self._handles.hold_back(message.user_id, now=context.now())

    @handles(EraseUser, transactional=True)
    async def erase(self, message: EraseUser, context: Context) -> None:
        await self._store.erase(
            message.user_id, uid_is_free=message.uid_is_free, now=context.now(), session=context.session
        )

    # For search

    @handles(ReadPersonDocuments)
    async def read_documents(self, message: ReadPersonDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return _documents(await self._store.list_these(message.ids))

    @handles(ScanPersonDocuments)
    async def scan_documents(self, message: ScanPersonDocuments, context: Context) -> DocumentPage:
        users = await self._store.scan_profiles(message.after, message.limit)
        return DocumentPage(_documents(users), users[-1].id if len(users) == message.limit else None)


def _documents(users: Iterable[User]) -> tuple[SearchDocument, ...]:
    return tuple(found for user in users if (found := search_document(user)) is not None)


def _said(message: EnsureUser, user: User) -> dict[str, object]:
    """What is to be stored of a sign-in."""
    said: dict[str, object] = {"email": message.email or user.email}
    if not user.roles_decided:
        said["roles"] = _names(stored_roles(message.roles))
    return said


def _says_other(message: EnsureUser, user: User) -> bool:
    known = {"email": user.email, "roles": _names(user.roles)}
    return any(known[name] != said for name, said in _said(message, user).items())


def _names(roles: Iterable[Role]) -> list[str]:
    return [role.value for role in roles]
