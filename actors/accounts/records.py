"""What is held of one person, found and erased as the stores declare it; it knows no collection by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from promptforge.core.mongo import Document, Mongo
from promptforge.core.personal import PEOPLE, Held, Subject, ending, erasing, exported, in_order

BATCH = 200


class PersonalRecords:
    """`held`: the declarations of all stores."""

    def __init__(self, mongo: Mongo, held: Mapping[str, Held]) -> None:
        self._mongo = mongo
        self._held = held
        self.collections = tuple(in_order(held))
        """What is found through another collection comes before it."""

    async def erase(self, name: str, user_id: str, *, spared: frozenset[str]) -> int:
        """Erase what a collection holds of a person; answers how many documents were looked at. Done again, it is 0.

        What is in `spared` is not deleted: its texts are redacted where they are marked so. The person's own document
        is not touched.
        """
        looked = 0
        for subject in self._held[name].subjects:
            if name == PEOPLE or not subject.changes:
                continue
            async for row in self._documents(name, subject, user_id, spared=spared):
                looked += 1
                await self._erase(name, subject, row, user_id=user_id, spared=spared)
        return looked

    async def _erase(self, name: str, subject: Subject, row: Document, *, user_id: str, spared: frozenset[str]) -> None:
        collection, one = self._mongo.collection(name), {"_id": row["_id"]}
        if subject.deleted and not subject.is_spared(row, spared):
            await collection.delete_one(one)
            return
        if subject.pulled is not None:
            inner = subject.path.removeprefix(f"{subject.pulled}.")
            await collection.update_one(one, {"$pull": {subject.pulled: {inner: user_id}}})
        await self._change(name, one, erasing(subject, row))

    async def _change(self, name: str, one: Document, change: tuple[Document, Document]) -> None:
        update = {operator: fields for operator, fields in zip(("$set", "$unset"), change, strict=True) if fields}
        if update:
            await self._mongo.collection(name).update_one(one, update)

    async def end_terms(self, user_id: str, *, erased_at: datetime, now: datetime) -> None:
        """Erase what was kept of a person for a term that is over. Done again, there is nothing left to do."""
        for name in self.collections:
            for subject in self._held[name].subjects:
                if subject.has_terms:
                    async for row in self._documents(name, subject, user_id):
                        await self._change(
                            name, {"_id": row["_id"]}, ending(subject, row, erased_at=erased_at, now=now)
                        )

    async def read(self, name: str, user_id: str) -> AsyncIterator[Document]:
        """What the export shows of a collection, each document once: as the first subject has it that it is of.

        No ids are remembered, for there may be millions: whether an earlier subject has a document is looked up, for a
        batch at a time.
        """
        held = self._held[name]
        subjects = [subject for subject in held.subjects if subject.exported]
        for number, subject in enumerate(subjects):
            field, _, place = (subject.inside or "").partition(":")
            inside = await self._have_part(place, user_id) if place else None
            async for row in self._but_earlier(name, subject, subjects[:number], user_id):
                outside = inside is not None and row.get(field) not in inside
                yield exported(held, subject, row, user_id, outside=outside)

    async def _but_earlier(
        self, name: str, subject: Subject, earlier: Sequence[Subject], user_id: str
    ) -> AsyncIterator[Document]:
        """The documents of a subject, each once, without those of the subjects before it."""
        async for rows in _batched(self._once(name, subject, user_id)):
            ids = [row["_id"] for row in rows]
            covered: set[object] = set()
            for one in earlier:
                covered |= await self._which_are(name, one, user_id, at=("_id", ids))
            for row in rows:
                if row["_id"] not in covered:
                    yield row

    async def _once(self, name: str, subject: Subject, user_id: str) -> AsyncIterator[Document]:
        """The documents of a subject. What they are found through is read once, so they are too."""
        if subject.of is None:
            async for row in self._batches(name, subject.wanted(user_id)):
                yield row
            return
        parent, _, key = subject.of.partition(":")
        owning = [above for above in self._held[parent].subjects if above.owns]
        for number, above in enumerate(owning):
            owners = self._but_earlier(parent, above, owning[:number], user_id)
            async for values in _together(owners, key or "_id"):
                async for row in self._batches(name, {subject.path: {"$in": values}, **subject.where}):
                    yield row

    async def _which_are(
        self, name: str, subject: Subject, user_id: str, *, at: tuple[str, Sequence[object]]
    ) -> set[object]:
        """Of the values those that documents of the subject have in the field: `at` is both."""
        field, values = at
        collection, among = self._mongo.collection(name), {field: {"$in": list(values)}}
        if subject.of is None:
            wanted = {"$and": [subject.wanted(user_id), among]}
            return {value async for row in collection.find(wanted, {field: 1}) for value in _all_at(row, field)}
        parent, _, key = subject.of.partition(":")
        found = collection.find({**among, **subject.where}, {field: 1, subject.path: 1})
        rows = [(_all_at(row, field), _all_at(row, subject.path)) async for row in found]
        above: list[object] = list({value for _, through in rows for value in through})
        theirs: set[object] = set()
        for owner in self._held[parent].subjects:
            if owner.owns and above:
                theirs |= await self._which_are(parent, owner, user_id, at=(key or "_id", above))
        return {value for has, through in rows if not theirs.isdisjoint(through) for value in has}

    async def _have_part(self, name: str, user_id: str) -> frozenset[str]:
        """The ids of the documents of a collection that are somebody's, or that have them in it."""
        parts = [subject for subject in self._held[name].subjects if subject.owns or subject.pulled is not None]
        return frozenset([row["_id"] for part in parts async for row in self._documents(name, part, user_id)])

    async def list_going(self, name: str, user_id: str) -> AsyncIterator[str]:
        """The ids of what the erasure deletes of a collection, and of what it spares."""
        for subject in self._held[name].subjects:
            if subject.deleted:
                async for row in self._documents(name, subject, user_id):
                    yield row["_id"]

    def what(self, name: str) -> str:
        """For people: what a collection holds."""
        return self._held[name].what

    async def _documents(
        self, name: str, subject: Subject, user_id: str, *, spared: frozenset[str] = frozenset()
    ) -> AsyncIterator[Document]:
        """Those of the subject. They may go, or change, while they are read."""
        if subject.of is None:
            async for row in self._batches(name, subject.wanted(user_id)):
                yield row
            return
        parent, _, key = subject.of.partition(":")
        for above in self._held[parent].subjects:
            if not above.owns:
                continue
            owners = self._documents(parent, above, user_id)
            theirs = (one async for one in owners if not (subject.with_owner and above.is_spared(one, spared)))
            async for values in _together(theirs, key or "_id"):
                async for row in self._batches(name, {subject.path: {"$in": values}, **subject.where}):
                    yield row

    async def _batches(self, name: str, wanted: Document) -> AsyncIterator[Document]:
        """In no order: asked for one, MongoDB would rather read the whole collection in it than use another index."""
        async for row in self._mongo.collection(name).find(wanted).batch_size(BATCH):
            yield row


async def _together(owners: AsyncIterator[Document], key: str) -> AsyncIterator[list[str]]:
    """What the owners are known by, many at once: not every collection has an index for it."""
    values: list[str] = []
    async for owner in owners:
        values += _values(owner, key)
        if len(values) >= BATCH:
            yield values
            values = []
    if values:
        yield values


async def _batched(rows: AsyncIterator[Document]) -> AsyncIterator[list[Document]]:
    some: list[Document] = []
    async for row in rows:
        some.append(row)
        if len(some) >= BATCH:
            yield some
            some = []
    if some:
        yield some


def _values(row: Document, key: str) -> list[str]:
    return [one for one in _all_at(row, key) if isinstance(one, str)]


def _all_at(row: Document, path: str) -> list[object]:
    value: object = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, list) else [value]
