"""Moderation as this process has it: its actors with their stores, terms and the model that advises, if one does."""

from __future__ import annotations

from datetime import timedelta

from promptforge.actors.moderation import ChecksActor, ModerationActor
from promptforge.actors.moderation import store as moderation
from promptforge.actors.moderation.checks.messages import FingerprintPublished, RenewFingerprints
from promptforge.actors.moderation.checks.terms import load as load_terms
from promptforge.actors.moderation.duplicates.index import DuplicateIndex
from promptforge.actors.moderation.duplicates.looking import Duplicates
from promptforge.actors.moderation.duplicates.store import FingerprintStore
from promptforge.actors.moderation.history import DecisionLog
from promptforge.actors.moderation.recommending.actor import Advisor, RecommenderActor
from promptforge.actors.moderation.recommending.store import SpendingStore
from promptforge.core.amounts import MILLI
from promptforge.core.jobs import Schedule
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor
from promptforge.deploy.settings import Settings

ACTOR_TYPES: tuple[type[Actor], ...] = (ModerationActor, ChecksActor, RecommenderActor)
INDEXES = moderation.INDEXES
SCHEDULES = (
    Schedule("fingerprint-published", "29 4 * * *", lambda _: FingerprintPublished()),
    Schedule("renew-fingerprints", "1-59/2 * * * *", lambda _: RenewFingerprints()),
)


def build_actors(mongo: Mongo, settings: Settings, known: DuplicateIndex) -> list[Actor]:
    fingerprints = FingerprintStore(mongo)
    cases = moderation.CaseStore(mongo, claim_for=timedelta(minutes=settings.moderation_claim_minutes))
    model, terms = settings.moderation_llm_model, load_terms(settings.moderation_terms_file)
    advisor = None if model is None else Advisor(model, settings.moderation_llm_daily_credits * MILLI)
    history = DecisionLog(mongo)
    return [
        ModerationActor(cases, history, fingerprints),
        ChecksActor(cases, terms, Duplicates(fingerprints, known), history, advised=advisor is not None),
        RecommenderActor(cases, SpendingStore(mongo), advisor),
    ]
