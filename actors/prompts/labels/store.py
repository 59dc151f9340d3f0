"""Every query on the collections `prompt_labels` and `prompt_label_moves`.

A label's `_id` is `prompt:label`: unique by construction, and a deletion in the change stream still says whose it was.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from promptforge.actors.prompts.labels.messages import LabelMoveView, LabelView
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Held, Subject, marks

LABELS = "prompt_labels"
MOVES = "prompt_label_moves"

INDEXES: dict[str, tuple[Index, ...]] = {
    LABELS: (Index((("prompt_id", 1), ("label", 1)), unique=True), Index((("moved_by", 1),))),
    MOVES: (
        Index((("prompt_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("prompt_id", 1), ("label", 1), ("created_at", -1), ("_id", -1))),
        Index((("moved_by", 1),)),
    ),
}
HELD = {
    LABELS: Held(
        "The labels of your prompts, and those that you moved in projects of others",
        (
            Subject("moved_by", marks(CLEARED, "reason"), whole=True),
            Subject("prompt_id", marks(CLEARED, "reason"), of="prompts", deleted=True, spared=("prompt_id",)),
        ),
        plain=frozenset({"_id", "label", "moved_by"}),
    ),
    MOVES: Held(
        "Where the labels of your prompts pointed, and why; and which you moved in projects of others",
        (
            Subject("moved_by", marks(CLEARED, "reason"), whole=True),
            Subject("prompt_id", of="prompts", deleted=True, whole=True),
        ),
        plain=frozenset({"label", "moved_by"}),
    ),
}


class LabelStore:
    def __init__(self, mongo: Mongo) -> None:
        self._labels = mongo.collection(LABELS)
        self._moves = mongo.collection(MOVES)

    async def find(self, prompt_id: str, label: str, *, session: Session | None = None) -> LabelView | None:
        row = await self._labels.find_one({"_id": _label_id(prompt_id, label)}, session=session)
        return None if row is None else _label_from(row)

    async def list_of(self, prompt_id: str, *, limit: int, session: Session | None = None) -> tuple[LabelView, ...]:
        rows = self._labels.find({"prompt_id": prompt_id}, session=session).sort([("label", 1)]).limit(limit)
        return tuple([_label_from(row) for row in await rows.to_list(limit)])

    async def list_these(
        self, wanted: Collection[tuple[str, str]], *, session: Session | None = None
    ) -> list[LabelView]:
        """Those of these (prompt, label) that there are, in no order."""
        ids = [_label_id(prompt_id, label) for prompt_id, label in wanted]
        rows = self._labels.find({"_id": {"$in": ids}}, session=session)
        return [_label_from(row) for row in await rows.to_list(len(ids))]

    async def pointing_to(
        self, prompt_ids: Collection[str], *, session: Session | None = None
    ) -> dict[tuple[str, str], int]:
        """Prompt and label of all labels of these prompts, with the version that each points to."""
        wanted = {"prompt_id": {"$in": list(prompt_ids)}}
        rows = self._labels.find(wanted, {"prompt_id": 1, "label": 1, "version": 1}, session=session)
        found = await rows.to_list(None)  # few labels of few prompts
        return {(row["prompt_id"], row["label"]): row["version"] for row in found}

    async def move(  # a label's fields
        self,
        prompt_id: str,
        label: str,
        version: int,
        *,
        reason: str | None,
        moved_by: str,
        now: datetime,
        session: Session | None,
    ) -> LabelView:
        """Point it there, and keep the move. Only in a transaction: `from` is what it says when this commits."""
        before = await self.find(prompt_id, label, session=session)
        row = await self._labels.find_one_and_upsert(
            {"_id": _label_id(prompt_id, label)},
            {
                "$set": {"version": version, "reason": reason, "moved_by": moved_by, "moved_at": now},
                "$setOnInsert": {"prompt_id": prompt_id, "label": label},
            },
            session=session,
        )
        moved = LabelMoveView(
            id=new_id("mov"),
            label=label,
            from_version=None if before is None else before.version,
            to_version=version,
            reason=reason,
            moved_by=moved_by,
            created_at=now,
        )
        await self._keep(prompt_id, moved, session=session)
        return _label_from(row)

    async def remove(self, label: LabelView, *, removed_by: str, now: datetime, session: Session | None) -> None:
        await self._labels.delete_one({"_id": _label_id(label.prompt_id, label.label)}, session=session)
        moved = LabelMoveView(new_id("mov"), label.label, label.version, None, None, removed_by, now)
        await self._keep(label.prompt_id, moved, session=session)

    async def _keep(self, prompt_id: str, move: LabelMoveView, *, session: Session | None) -> None:
        await self._moves.insert_one(
            {
                "_id": move.id,
                "prompt_id": prompt_id,
                "label": move.label,
                "from_version": move.from_version,
                "to_version": move.to_version,
                "reason": move.reason,
                "moved_by": move.moved_by,
                "created_at": move.created_at,
            },
            session=session,
        )

    async def list_moves(
        self, prompt_id: str, *, label: str | None, cursor: Cursor | None, limit: int
    ) -> Page[LabelMoveView]:
        wanted: Document = {"prompt_id": prompt_id, **(cursor.after() if cursor else {})}
        if label is not None:
            wanted["label"] = label
        rows = self._moves.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _move_from)


def _label_id(prompt_id: str, label: str) -> str:
    return f"{prompt_id}:{label}"


def _label_from(row: Document) -> LabelView:
    return LabelView(
        prompt_id=row["prompt_id"],
        label=row["label"],
        version=row["version"],
        reason=row["reason"],
        moved_by=row["moved_by"],
        moved_at=row["moved_at"],
    )


def _move_from(row: Document) -> LabelMoveView:
    return LabelMoveView(
        id=row["_id"],
        label=row["label"],
        from_version=row["from_version"],
        to_version=row["to_version"],
        reason=row["reason"],
        moved_by=row["moved_by"],
        created_at=row["created_at"],
    )
