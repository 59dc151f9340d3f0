"""What documents of the service before are called here, and whom they mean.

An id of this service is text with a prefix. Every other one is replaced by one that is computed from it, so that it is
the same whoever computes it and whenever, and what refers to it can be found without a list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import bson
from bson import ObjectId
from ulid import ULID

from promptforge.actors.users.store import USERS
from promptforge.core.mongo import Document, Mongo, Session

LONGEST_ID = 64
_HEX_DIGITS = 24


class Unresolved(StrEnum):
    """Why it is not known whom a document means."""

    UNKNOWN = "unknown_user"
    AMBIGUOUS = "ambiguous_user"


def is_internal(identifier: object, prefix: str) -> bool:
    return isinstance(identifier, str) and identifier.startswith(f"{prefix}_") and len(identifier) <= LONGEST_ID


def internal_id(prefix: str, old: object) -> str:
    """The id here of what was called `old`; an `ObjectId` keeps its time, so that ids sort by it."""
    if is_internal(old, prefix):
        return str(old)
    if isinstance(old, float) and old.is_integer():
        old = int(old)  # MongoDB takes 17 and 17.0 for the same
    made = int(old.generation_time.timestamp() * 1000) if isinstance(old, ObjectId) else 0
    digest = hashlib.sha256(bson.encode({"prefix": prefix, "id": old})).digest()
    return f"{prefix}_{str(ULID.from_bytes(made.to_bytes(6, 'big') + digest[:10])).lower()}"


def possible_ids(reference: object) -> set[str]:
    """The internal ids that a reference to a user's `_id` can mean; an ObjectId and a number may be written as text."""
    readings: list[object] = [reference]
    if isinstance(reference, str) and ObjectId.is_valid(reference) and len(reference) == _HEX_DIGITS:
        readings.append(ObjectId(reference))
    if isinstance(reference, str) and reference.isascii() and reference.isdecimal() and len(reference) < 19:
        readings.append(int(reference))
    return {internal_id("usr", reading) for reading in readings}


class People:
    """Finds whom the references of old documents mean: by uid, or by the id that the user had."""

    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.collection(USERS)

    async def resolve(self, references: Sequence[object], *, session: Session) -> list[str | Unresolved]:
        """The internal id for each, in their order."""
        ids = {identifier for one in references if _is_reference(one) for identifier in possible_ids(one)}
        uids = {one for one in references if isinstance(one, str)}
        wanted: Document = {"$or": [{"_id": {"$in": sorted(ids)}}, {"uid": {"$in": sorted(uids)}}]}
        rows = await self._users.find(wanted, {"uid": 1}, session=session).to_list(None)
        by_uid = {row["uid"]: row["_id"] for row in rows}
        known = {row["_id"] for row in rows}
        return [_one_of(_meant(one, by_uid, known)) for one in references]


def _is_reference(value: object) -> bool:
    return isinstance(value, str | int | float | ObjectId) and not isinstance(value, bool)


def _meant(reference: object, by_uid: dict[str, str], known: set[str]) -> set[str]:
    if not _is_reference(reference):
        return set()
    found = possible_ids(reference) & known
    return found | {by_uid[reference]} if isinstance(reference, str) and reference in by_uid else found


def _one_of(found: Iterable[str]) -> str | Unresolved:
    match sorted(found):
        case [one]:
            return one
        case []:
            return Unresolved.UNKNOWN
        case _:
            return Unresolved.AMBIGUOUS
