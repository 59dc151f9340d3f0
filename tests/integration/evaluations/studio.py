"""A workshop with projects, prompts, datasets and evaluations in it, and somebody with credits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from promptforge.actors.ai.providers.guarded import Limits
from promptforge.actors.ai.providers.interface import Prompt
from promptforge.actors.datasets import DatasetsActor
from promptforge.actors.datasets import store as datasets
from promptforge.actors.datasets.messages import AddItems, CreateDataset, NewItem
from promptforge.actors.evaluations import EvaluationsActor, GetEvaluation
from promptforge.actors.evaluations import store as evaluations
from promptforge.actors.evaluations.messages import (
    CreateEvaluation,
    EvaluationView,
    ItemResult,
    ListResults,
    Scorer,
    ScorerKind,
)
from promptforge.actors.projects import ProjectsActor
from promptforge.actors.projects import store as projects
from promptforge.actors.prompts import LabelsActor, PromptsActor, RenderingActor
from promptforge.actors.prompts import store as prompts
from promptforge.actors.prompts.messages import CreatePrompt, FirstVersion
from promptforge.actors.users import UsersActor
from promptforge.actors.users import store as users
from promptforge.actors.users.handles.store import HandleStore
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor
from tests.integration.ai.workshop import LIMITS, Workshop, open_workshop
from tests.support.models import ScriptedModel
from tests.support.mongo import with_indexes

ADA = "usr_ada"
CONTAINS_TWO = Scorer(ScorerKind.CONTAINS, text="two")


async def find_principal(user_id: str) -> Principal | None:
    return Principal(user_id, f"uid-{user_id}", suspended=user_id.endswith("suspended"))


def last_words(prompt: Prompt) -> Sequence[str]:
    """A model that answers the last word that it was told."""
    return [prompt.turns[-1].text.split()[-1]]


@dataclass
class Studio:
    workshop: Workshop
    mongo: Mongo

    @property
    def ada(self) -> Context:
        return self.workshop.context(ADA)

    @property
    def model(self) -> ScriptedModel:
        return self.workshop.model

    async def dataset(self, number: int = 12) -> str:
        dataset = await self.ada.ask(CreateDataset(name="Words"))
        for begin in range(0, number, 500):
            words = [f"word{n}" for n in range(begin, min(begin + 500, number))]
            items = tuple(NewItem({"word": word}, expected=word) for word in words)
            await self.ada.ask(AddItems(dataset_id=dataset.id, items=items))
        return dataset.id

    async def prompt(self, content: str = "Say {{word}}") -> str:
        made = await self.ada.ask(CreatePrompt(name=content, first_version=FirstVersion(content=content)))
        return made.id

    async def started(self, *, items: int = 12, **changes: Any) -> EvaluationView:
        fields = {"version": 1, "scorers": (CONTAINS_TWO,), **changes}
        fields["prompt_id"] = fields.get("prompt_id") or await self.prompt()
        fields["dataset_id"] = fields.get("dataset_id") or await self.dataset(items)
        return await self.ada.ask(CreateEvaluation(**fields))

    async def evaluated(self, **changes: Any) -> EvaluationView:
        started = await self.started(**changes)
        await self.workshop.process.runner.drain()
        return await self.view(started.id)

    async def view(self, evaluation_id: str) -> EvaluationView:
        return await self.ada.ask(GetEvaluation(evaluation_id=evaluation_id))

    async def results(self, evaluation_id: str, **wanted: Any) -> list[ItemResult]:
        found: list[ItemResult] = []
        cursor = None
        while True:
            page = await self.ada.ask(ListResults(evaluation_id=evaluation_id, limit=100, cursor=cursor, **wanted))
            found += page.items
            cursor = page.next
            if cursor is None:
                return found

    async def charges(self) -> list[dict[str, Any]]:
        """The runs that were paid for."""
        rows = self.mongo.collection("usage").find({"outcome": "ok"})
        return await rows.to_list(None)


def actors(mongo: Mongo) -> tuple[Actor, ...]:
    stores = prompts.Stores(mongo)
    return (
        UsersActor(users.UserStore(mongo), HandleStore(mongo)),
        ProjectsActor(projects.ProjectStore(mongo)),
        PromptsActor(stores),
        LabelsActor(stores),
        RenderingActor(stores),
        DatasetsActor(datasets.DatasetStore(mongo)),
        EvaluationsActor(evaluations.EvaluationStore(mongo)),
    )


INDEXES = {**projects.INDEXES, **prompts.INDEXES, **datasets.INDEXES, **evaluations.INDEXES}


@asynccontextmanager
async def open_studio(
    mongo: Mongo, *, model: ScriptedModel | None = None, limits: Limits = LIMITS, credits: int | None = 1000
) -> AsyncIterator[Studio]:
    """`credits` None: Ada is there already, in another process."""
    await with_indexes(mongo, INDEXES)
    opened = open_workshop(mongo, model=model, limits=limits, others=actors(mongo), find_principal=find_principal)
    async with opened as workshop:
        if credits is not None:
            await workshop.user(credits, ADA)
        yield Studio(workshop, mongo)
