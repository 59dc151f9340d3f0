"""Every query on `notification_preferences`: of each person, what they chose otherwise than the kinds say."""

from __future__ import annotations

from promptforge.actors.notifications.preferences.domain import Chosen
from promptforge.actors.notifications.preferences.messages import Channel
from promptforge.actors.notifications.store import COUNTERS
from promptforge.core.mongo import Index, Mongo, Session
from promptforge.core.personal import Held, Subject

PREFERENCES = "notification_preferences"

INDEXES: dict[str, tuple[Index, ...]] = {PREFERENCES: ()}
HELD = {
    PREFERENCES: Held("Which notifications you chose", (Subject("_id", deleted=True),), plain=frozenset({"chosen"})),
}


class PreferenceStore:
    def __init__(self, mongo: Mongo) -> None:
        self._preferences = mongo.collection(PREFERENCES)
        self._counters = mongo.collection(COUNTERS)

    async def chosen_by(self, user_id: str, *, session: Session | None = None) -> Chosen:
        row = await self._preferences.find_one({"_id": user_id}, session=session)
        if row is None:
            return {}
        known = {channel.value: channel for channel in Channel}
        return {(one["kind"], known[one["channel"]]): one["on"] for one in row["chosen"] if one["channel"] in known}

    async def keep(self, user_id: str, chosen: Chosen, *, session: Session) -> None:
        """In the transaction that read what was chosen before.

        Whoever is told something takes a number, in the transaction that reads what they chose. This writes where the
        numbers come from, too: of the two at once one begins again and sees the other, so what is shown after this has
        been answered is so by the new choice.
        """
        await self._counters.update_one({"_id": user_id}, {"$inc": {"choices": 1}}, upsert=True, session=session)
        rows = [{"kind": kind, "channel": channel.value, "on": on} for (kind, channel), on in sorted(chosen.items())]
        await self._preferences.update_one({"_id": user_id}, {"$set": {"chosen": rows}}, upsert=True, session=session)
