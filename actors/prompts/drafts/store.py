"""Every query on the collection `prompt_drafts`: a prompt's id is its draft's, so there is one."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.projects.messages import OF_OTHERS
from promptforge.actors.prompts.drafts.messages import DraftView, SaveDraft
from promptforge.actors.prompts.registry.versions import CONTENT, body_from, stored_body
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject, kept, marks

DRAFTS = "prompt_drafts"

INDEXES: dict[str, tuple[Index, ...]] = {DRAFTS: (Index((("updated_by", 1),)),)}
HELD = {
    DRAFTS: Held(
        "Drafts of your prompts, and those that you saved last in projects of others",
        (
            Subject("updated_by", marks(kept(OF_OTHERS), *CONTENT), whole=True),
            Subject("_id", of="prompts", deleted=True, whole=True),
        ),
        plain=frozenset({"*"}),
    ),
}


class DraftStore:
    def __init__(self, mongo: Mongo) -> None:
        self._drafts = mongo.collection(DRAFTS)

    async def find(self, prompt_id: str, *, session: Session | None = None) -> DraftView | None:
        row = await self._drafts.find_one({"_id": prompt_id}, session=session)
        return None if row is None else _draft_from(row)

    async def save(
        self, wanted: SaveDraft, base_version: int, *, updated_by: str, now: datetime, session: Session | None
    ) -> DraftView:
        """Whole: what is not in it any more is gone."""
        body = stored_body(wanted)
        gone = dict.fromkeys({"tools", "response_schema", "variables"} - body.keys(), "")
        update: Document = {"$set": {**body, "base_version": base_version, "updated_by": updated_by, "updated_at": now}}
        if gone:
            update["$unset"] = gone
        row = await self._drafts.find_one_and_upsert({"_id": wanted.prompt_id}, update, session=session)
        return _draft_from(row)

    async def remove(self, prompt_id: str, *, session: Session | None) -> None:
        await self._drafts.delete_one({"_id": prompt_id}, session=session)


def _draft_from(row: Document) -> DraftView:
    return DraftView(
        prompt_id=row["_id"],
        base_version=row["base_version"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
        **body_from(row),
    )
