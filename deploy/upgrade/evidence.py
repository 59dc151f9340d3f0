"""Scorecards from before they named their dataset get its id, and are outdated where it is gone."""

from __future__ import annotations

from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.core.mongo import Document, Mongo


async def name_datasets(mongo: Mongo) -> None:
    """Any number of times: what has an id is left as it is."""
    listings = mongo.collection(LISTINGS)
    unnamed: Document = {"evidence.evaluation_id": {"$exists": True}, "evidence.dataset_id": {"$exists": False}}
    async for row in listings.find(unnamed, {"evidence.evaluation_id": 1}):
        evaluation_id = row["evidence"]["evaluation_id"]
        evaluation = await mongo.collection("evaluations").find_one({"_id": evaluation_id}, {"dataset_id": 1})
        dataset_id = None if evaluation is None else evaluation["dataset_id"]
        there = await mongo.collection("datasets").find_one({"_id": dataset_id}, {"_id": 1})
        changes = {"evidence.dataset_id": dataset_id, "evidence.dataset_gone": there is None}
        same = {"_id": row["_id"], "evidence.evaluation_id": evaluation_id}
        await listings.update_one(same, {"$set": changes})
