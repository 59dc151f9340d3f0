"""The whole market with a scripted model that costs something, and a sealed prompt on offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from pydantic import SecretStr

from promptforge.actors.ai.models import store as ai_models
from promptforge.actors.ai.models.actor import ModelsActor
from promptforge.actors.ai.models.catalogue import Catalogue, Model
from promptforge.actors.ai.models.domain import Price
from promptforge.actors.ai.providers.guarded import Guarded, Limits
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.messages import (
    Category,
    CreateListing,
    Licence,
    ListingView,
    PurchaseView,
    SubmitListing,
)
from promptforge.actors.marketplace.sealed.messages import RunListing, SealedRunView
from promptforge.actors.marketplace.sealed.terms import RunTerms
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.ids import new_id
from promptforge.core.jobs import MongoJobStore
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.settings import Settings
from tests.support.market import Market, judge
from tests.support.models import ScriptedModel
from tests.support.mongo import with_indexes
from tests.support.processes import SteppedClock, job_process

CANARY = "Marmalade canaries whistle seventeen forbidden lullabies before the violet tribunal adjourns its breakfast."
TEXT = (
    f"{CANARY} You are the keeper of a lighthouse who answers letters. Read this one, then say in three sentences what "
    "the sea thinks of it, and close with a wish for the writer. Letter: {{letter}} Mood: {{mood}}"
)
PRICE = Price(input=10_000_000, output=20_000_000)
"""A millicredit for each token read, and two for each written."""
LIMITS = Limits(attempts=1, first_seconds=60, gap_seconds=60, whole_seconds=120)
SETTINGS = Settings(stripe_secret_key=SecretStr("sk_test_unused"))
TERMS = RunTerms(model="scripted-1", share="1", max_tokens=100)
COST = 200
"""Millicredits of one answer of the scripted model."""
ANSWER = "The sea shrugs. It has read worse. May your kettle never cool."


@dataclass
class Lighthouse:
    """`market` with a seller who has one listing on offer; and what buyers do."""

    market: Market
    model: ScriptedModel
    clock: SteppedClock
    seller: Context
    listings: list[ListingView] = field(default_factory=list)

    @property
    def listing(self) -> ListingView:
        return self.listings[-1]

    def collection(self, name: str) -> Any:
        return self.market.process.mongo.collection(name)

    async def offer(
        self,
        *,
        licence: Licence = Licence.RUNS,
        terms: RunTerms | None = TERMS,
        text: str = TEXT,
        price: str = "0",
        **version: Any,
    ) -> ListingView:
        """On the market. `version`: further fields of the prompt's."""
        return await self._publish(await self.draft(licence=licence, terms=terms, text=text, price=price, **version))

    async def offer_again(self, version: int = 1) -> ListingView:
        """The prompt of the newest listing in another one."""
        return await self._publish(await self._drafted(self.listing.prompt_id, version))

    async def _publish(self, drafted: ListingView) -> ListingView:
        await self.seller.ask(SubmitListing(listing_id=drafted.id))
        moderator = await self.market.person("moderator", Role.MODERATOR)
        await judge(moderator, await self.market.case_of(moderator, drafted))
        self.listings.append(drafted)
        return drafted

    async def draft(
        self,
        *,
        licence: Licence = Licence.RUNS,
        terms: RunTerms | None = TERMS,
        text: str = TEXT,
        price: str = "0",
        **version: Any,
    ) -> ListingView:
        prompt = await self.seller.ask(CreatePrompt(name=new_id("name")))
        await self.seller.ask(CreateVersion(prompt_id=prompt.id, content=text, **version))
        return await self._drafted(prompt.id, 1, licence=licence, terms=terms, price=price)

    async def _drafted(
        self,
        prompt_id: str,
        version: int,
        *,
        licence: Licence = Licence.RUNS,
        terms: RunTerms | None = TERMS,
        price: str = "0",
    ) -> ListingView:
        return await self.seller.ask(
            CreateListing(
                prompt_id=prompt_id,
                version=version,
                title="Letters from a lighthouse",
                summary="Answers letters as the sea would",
                description="Somebody answers your letters.",
                category=Category.WRITING,
                price=price,
                licence=licence,
                runs=terms,
            )
        )

    async def buyer(self, uid: str = "bruno", credits: int = 10) -> tuple[Context, PurchaseView]:
        """Who has bought runs, and has this many granted credits."""
        buyer = await self.market.person(uid)
        if credits:
            await self.market.fund(buyer, credits)
        return buyer, await self.market.buy(buyer, self.listing, price="0")

    def says(self, *pieces: str) -> None:
        """From now on the model answers this."""
        self.model.pieces = pieces

    async def run(self, person: Context, letter: str = "Dear keeper", **fields: Any) -> SealedRunView:
        fields.setdefault("variables", {"letter": letter, "mood": "calm"})
        fields.setdefault("listing_id", self.listing.id)
        return await (await person.ask(RunListing(**fields))).whole()

    async def left(self, person: Context) -> None:
        """A run that its asker leaves once the model has been asked."""
        self.model.held = anyio.Event()
        before = len(self.model.told)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.run, person)
            with anyio.fail_after(60):
                while len(self.model.told) == before:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    async def money(self, person: Context) -> tuple[str, str, str]:
        """What can be spent, what is pending, what is reserved."""
        has = await person.ask(GetCredits())
        return has.available, has.pending, has.reserved


async def verified(lighthouse: Lighthouse) -> bool:
    return (await verify_ledger(lighthouse.market.process.mongo)).violations == ()


async def refused(lighthouse: Lighthouse, person: Context, **fields: object) -> str:
    try:
        await lighthouse.run(person, **fields)  # type: ignore[arg-type]  # fields of a message
    except PromptForgeError as error:
        return error.code
    return "done"


@asynccontextmanager
async def open_lighthouse(
    mongo: Mongo, *, price: Price = PRICE, settings: Settings = SETTINGS
) -> AsyncIterator[Lighthouse]:
    await with_indexes(mongo, INDEXES)
    model, clock = ScriptedModel(pieces=(ANSWER,)), SteppedClock()
    catalogue = Catalogue([Model("scripted-1", Guarded(model, LIMITS), price, max_output_tokens=1000)])
    models = ModelsActor(ai_models.RunStore(mongo, RollupStore(mongo)), catalogue)

    def actors(store: MongoJobStore) -> list[Actor]:
        built = build_actors(mongo, store, settings)
        return [models if isinstance(one, ModelsActor) else one for one in built]

    async with job_process(mongo, actors, running=False, clock=clock) as process:
        process.system.clock = clock
        market = Market(process)
        yield Lighthouse(market, model, clock, await market.person("carla", Role.SELLER))
