"""Every query on `referral_codes`, `referral_attributions`, `referral_clicks` and `referral_turns`, and on
`held_referral_codes`, the hashes of those that went with their owners' accounts: nobody gets them either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from promptforge.actors.partnerships.referrals.domain import MOST_CODES, DayOfCode, Sums, held_as
from promptforge.core.alike import skeleton
from promptforge.core.mongo import Document, Index, Mongo, Session, Tallies, UpdateOne
from promptforge.core.personal import CLEARED, REDACTED, Held, Subject, kept, marks, nobody

CODES = "referral_codes"
ATTRIBUTIONS = "referral_attributions"
CLICKS = "referral_clicks"
TURNS = "referral_turns"
HOLDS = "held_referral_codes"

INDEXES: dict[str, tuple[Index, ...]] = {
    CODES: (
        Index((("partner_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("owner", 1),)),
    ),
    ATTRIBUTIONS: (
        Index((("partner_id", 1), ("made_at", 1))),
        Index((("code", 1),)),
        Index((("referrer_id", 1),)),
    ),
    CLICKS: (Index((("partner_id", 1), ("day", 1))), Index((("code", 1),))),
    TURNS: (),
    HOLDS: (),
}
SOLD = "only of codes that brought sales: it is on their records, for good"
_OF_CODES = "referral_codes:code"
HELD = {
    CODES: Held(
        "Your referral codes",
        (
            Subject(
                "owner",
                {"label": CLEARED, **marks(kept(SOLD), "_id", "code")},
                deleted=True,
                spared=("owner", "code"),
            ),
        ),
    ),
    ATTRIBUTIONS: Held(
        "By whose link you came, and whom yours brought",
        (
            Subject("_id", whole=True),
            Subject("referrer_id", {"code": kept(SOLD)}),
            Subject("code", {"code": REDACTED}, of=_OF_CODES, with_owner=True, exported=False),
        ),
        plain=frozenset({"partner_id"}),
    ),
    CLICKS: Held(
        "How often your referral links were followed on which day",
        (Subject("code", marks(kept(SOLD), "_id", "code"), of=_OF_CODES, deleted=True, with_owner=True),),
        plain=frozenset({"partner_id"}),
    ),
    HOLDS: nobody("Hashes of referral codes that went with their owners' accounts"),
    TURNS: nobody("Whose referrals have changed how often, so that two at once conflict"),
}


@dataclass(frozen=True, slots=True)
class ReferralCode:
    code: str
    partner_id: str
    owner: str
    label: str | None
    created_at: datetime
    deactivated_at: datetime | None = None

    @property
    def active(self) -> bool:
        return self.deactivated_at is None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who brought somebody; there is one for each account, for good."""

    user_id: str
    code: str
    partner_id: str
    referrer_id: str
    touched_at: datetime
    until: datetime
    made_at: datetime
    signed_up: bool


class CodeStore:
    def __init__(self, mongo: Mongo) -> None:
        self._codes = mongo.collection(CODES)
        self._holds = mongo.collection(HOLDS)

    async def insert(self, made: ReferralCode, *, session: Session | None) -> bool:
        """False where a code that looks like it is there. An upsert: a duplicate key would abort the transaction."""
        if await self._holds.find_one({"_id": held_as(skeleton(made.code))}, session=session) is not None:
            return False
        row = await self._codes.find_one_and_upsert(
            {"_id": skeleton(made.code)}, {"$setOnInsert": asdict(made)}, session=session
        )
        return bool(row["code"] == made.code and row["created_at"] == made.created_at and row["owner"] == made.owner)

    async def written_out(self) -> None:
        """Documents from when skeletons were drawn together get the ids that they have now; it can be done again."""
        async for row in self._codes.find({"_id": {"$regex": "[mw]"}}).sort([("created_at", 1), ("_id", 1)]):
            fields = {name: value for name, value in row.items() if name != "_id"}
            await self._codes.update_one({"_id": skeleton(row["_id"])}, {"$setOnInsert": fields}, upsert=True)
            await self._codes.delete_one({"_id": row["_id"]})

    async def find(self, code: str, *, session: Session | None = None) -> ReferralCode | None:
        """By its spelling, in any case: what only looks like it leads nowhere."""
        row = await self._codes.find_one({"_id": skeleton(code), "code": code.lower()}, session=session)
        return None if row is None else _code_from(row)

    async def list_of(self, partner_id: str, *, session: Session | None = None) -> list[ReferralCode]:
        """The newest first."""
        rows = self._codes.find({"partner_id": partner_id}, session=session).sort([("created_at", -1), ("_id", -1)])
        return [_code_from(row) for row in await rows.limit(MOST_CODES).to_list(MOST_CODES)]

    async def has_any(self, owners: Sequence[str], *, session: Session | None) -> bool:
        wanted = {"owner": {"$in": list(owners)}}
        return await self._codes.find_one(wanted, {"_id": 1}, session=session) is not None

    async def hold_back(self, owner: str, *, but: Sequence[str], now: datetime) -> None:
        """Before their documents go: there is no moment at which somebody could take one."""
        async for row in self._codes.find({"owner": owner, "code": {"$nin": list(but)}}):
            held = {"_id": held_as(row["_id"])}
            await self._holds.update_one(held, {"$setOnInsert": {"held_at": now}}, upsert=True)

    async def deactivate(self, code: str, *, now: datetime, session: Session | None) -> None:
        wanted = {"_id": skeleton(code), "deactivated_at": None}
        await self._codes.update_one(wanted, {"$set": {"deactivated_at": now}}, session=session)


class AttributionStore:
    def __init__(self, mongo: Mongo) -> None:
        self._attributions = mongo.collection(ATTRIBUTIONS)
        self._turns = mongo.collection(TURNS)

    async def find(self, user_id: str, *, session: Session | None = None) -> Attribution | None:
        row = await self._attributions.find_one({"_id": user_id}, session=session)
        return None if row is None else _attribution_from(row)

    async def find_first(self, user_ids: Sequence[str], *, session: Session | None) -> Attribution | None:
        """Of the attributions of these people the one that was made first."""
        rows = self._attributions.find({"_id": {"$in": list(user_ids)}}, session=session)
        made = [_attribution_from(row) async for row in rows]
        return min(made, key=lambda one: (one.made_at, one.user_id), default=None)

    async def list_referrers(self, user_ids: Sequence[str], *, session: Session | None = None) -> set[str]:
        """By whom these people came, as far as they came by somebody."""
        rows = self._attributions.find({"_id": {"$in": list(user_ids)}}, {"referrer_id": 1}, session=session)
        return {row["referrer_id"] async for row in rows}

    async def insert(self, made: Attribution, *, session: Session | None) -> None:
        """Only in a transaction that found none: of two at once one conflicts, and begins again."""
        row = asdict(made)
        del row["user_id"]
        await self._attributions.update_one({"_id": made.user_id}, {"$setOnInsert": row}, upsert=True, session=session)

    async def take_turns(self, names: Sequence[str], *, session: Session | None) -> None:
        """Of two transactions that take a turn of the same name at once, one begins again on what the other left."""
        for name in sorted(set(names)):
            await self._turns.update_one({"_id": name}, {"$inc": {"turns": 1}}, upsert=True, session=session)

    async def sum_by_day(self, partner_id: str, *, since: datetime, until: datetime) -> list[DayOfCode]:
        day = {"$dateTrunc": {"date": "$made_at", "unit": "day"}}
        pipeline: list[Document] = [
            {"$match": {"partner_id": partner_id, "made_at": {"$gte": since, "$lt": until}}},
            {
                "$group": {
                    "_id": {"day": day, "code": "$code"},
                    "attributions": {"$sum": 1},
                    "sign_ups": {"$sum": {"$cond": ["$signed_up", 1, 0]}},
                }
            },
        ]
        return [
            DayOfCode(
                row["_id"]["day"].date(),
                row["_id"]["code"],
                Sums(attributions=row["attributions"], sign_ups=row["sign_ups"]),
            )
            async for row in self._attributions.aggregate(pipeline)
        ]


class ClickCounter:
    """Clicks, counted in memory and written every few seconds: no click costs a write."""

    def __init__(self, mongo: Mongo) -> None:
        self._clicks = mongo.collection(CLICKS)
        self.tallies: Tallies[tuple[str, str, datetime]] = Tallies(self._clicks, _increment, what="clicks")

    def add(self, code: ReferralCode, now: datetime) -> None:
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.tallies.add((code.partner_id, code.code, day))

    async def sum_by_day(self, partner_id: str, *, since: datetime, until: datetime) -> list[DayOfCode]:
        rows = self._clicks.find({"partner_id": partner_id, "day": {"$gte": since, "$lt": until}})
        return [DayOfCode(row["day"].date(), row["code"], Sums(clicks=row["clicks"])) async for row in rows]


class ReferralStores:
    """All of them, on one database."""

    def __init__(self, mongo: Mongo) -> None:
        self.codes = CodeStore(mongo)
        self.attributions = AttributionStore(mongo)
        self.clicks = ClickCounter(mongo)


def _increment(key: tuple[str, str, datetime], clicks: int) -> UpdateOne:
    partner_id, code, day = key
    update = {"$inc": {"clicks": clicks}, "$setOnInsert": {"partner_id": partner_id, "code": code, "day": day}}
    return UpdateOne({"_id": f"{code}:{day:%Y-%m-%d}"}, update, upsert=True)


def _code_from(row: Document) -> ReferralCode:
    return ReferralCode(
        code=row["code"],
        partner_id=row["partner_id"],
        owner=row["owner"],
        label=row["label"],
        created_at=row["created_at"],
        deactivated_at=row["deactivated_at"],
    )


def _attribution_from(row: Document) -> Attribution:
    return Attribution(
        user_id=row["_id"],
        code=row["code"],
        partner_id=row["partner_id"],
        referrer_id=row["referrer_id"],
        touched_at=row["touched_at"],
        until=row["until"],
        made_at=row["made_at"],
        signed_up=row["signed_up"],
    )
