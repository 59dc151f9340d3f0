"""Answers searches within what the sender may see at that moment, and keeps the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import ref

import anyio

from promptforge.actors.marketplace.documents.messages import ListBought
from promptforge.actors.projects.messages import ListProjectsOf
from promptforge.actors.search.changes import ChangedDocuments
from promptforge.actors.search.engine import MOST_HITS, Engine, Filters, Found, Request, Scope
from promptforge.actors.search.errors import SearchUnavailable, TooDeep
from promptforge.actors.search.indexing import Indexing
from promptforge.actors.search.local.engine import LocalEngine
from promptforge.actors.search.local.fulltext import SCHEMA_VERSION
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import (
    PUBLIC,
    FindListings,
    FoundListings,
    GetSearchIndex,
    IndexState,
    Kind,
    Mode,
    Search,
    SearchHit,
    SearchIndexView,
    SearchPage,
    Suggest,
    Suggestion,
    SuggestionsView,
)
from promptforge.actors.search.views import hit_view, id_of, place_of, token_of
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, at_hand, handles

OWN = {
    Kind.PROJECT: "projects:read",
    Kind.PROMPT: "prompts:read",
    Kind.PACKAGE: "packages:read",
    Kind.PURCHASE: "purchases:read",
}
"""What only members of a project, its owner or its buyers find, and the scope that a program needs for it."""
MOST_BOUGHT = 500
"""Of what somebody owns, the newest; each is a term of their queries, and costs some 25 µs."""
OPENING_SECONDS = 2.0


class SearchActor(Actor):
    name = "search"
    asks = ("users", "projects", "prompts", "listing_documents", "package_documents")
    max_queries = 64

    def __init__(self, changed: ChangedDocuments | None = None, *, made: Callable[[], LocalIndex] = LocalIndex) -> None:
        self._engine = LocalEngine()
        self._finding: Engine = self._engine
        self._changed = ChangedDocuments() if changed is None else changed
        self._indexing = Indexing(self._engine, self._changed, made=made)

    async def run(self, context: Context) -> None:
        await self._indexing.run(context)

    # Searching

    @at_hand(Search)
    def find_page(self, message: Search, context: Context) -> SearchPage | None:
        """For who has not signed in, while all changes are heard of: what others see depends on the database."""
        serving = self._remembering()
        return None if context.principal is not None or serving is None else serving.pages.find(message)

    def _remembering(self) -> LocalIndex | None:
        """The index, where what it remembers can be told."""
        return self._engine.serving if self._indexing.state is IndexState.READY else None

    @handles(Search)
    async def search(self, message: Search, context: Context) -> SearchPage:
        serving = self._engine.serving
        begun = None if serving is None else serving.settled
        scope, bought = await self._scope(context, message.kind, message.project_id)
        request = _request(message, scope)
        found = await self._find(request)
        hits: tuple[SearchHit, ...] = tuple(hit_view(hit, bought) for hit in found.hits)
        page = SearchPage(
            hits,
            token_of(found.last),
            total=found.total,
            facets=found.facets,
            mode=message.mode,
            matched=found.matched,
            state=self._indexing.state,
        )
        if context.principal is None and serving is not None and serving is self._remembering():
            serving.pages.keep(begun, message, page, (request, ref(found)))
        return page

    @handles(Suggest)
    async def suggest(self, message: Suggest, context: Context) -> SuggestionsView:
        scope, bought = await self._scope(context, message.kind, None)
        await self._check()
        hits = await self._finding.suggest(message.q, scope, message.limit) if scope.kinds else ()
        items = tuple(
            Suggestion(hit.document.kind, id_of(hit.document, bought), hit.document.title, hit.highlights[0].fragments)
            for hit in hits
        )
        return SuggestionsView(items, self._indexing.state)

    @at_hand(FindListings)
    def find_found(self, message: FindListings, context: Context) -> FoundListings | None:
        serving = self._remembering()
        return None if serving is None else serving.listings.find(message)

    @handles(FindListings)
    async def find_listings(self, message: FindListings, context: Context) -> FoundListings:
        if (known := self.find_found(message, context)) is not None:
            return known
        serving = self._engine.serving
        begun = None if serving is None else serving.settled
        filters = Filters(
            category=message.category,
            tag=message.tag,
            licence=message.licence,
            min_price=message.min_price,
            max_price=message.max_price,
            min_stars=message.min_stars,
            scorecard=message.scorecard,
        )
        scope = Scope(frozenset({PUBLIC}), frozenset({Kind.LISTING}))
        request = Request(
            message.q,
            scope,
            Mode.HYBRID,
            filters,
            order=message.order,
            limit=message.limit,
            after=place_of(message.cursor),
            facets=message.facets,
            marked=False,
        )
        found = await self._find(request)
        told = FoundListings(
            tuple(hit.document.id for hit in found.hits),
            token_of(found.last),
            found.total,
            found.facets,
            found.matched,
            self._indexing.state,
        )
        if serving is not None and serving is self._remembering():
            serving.listings.keep(begun, message, told, (request, ref(found)))
        return told

    async def _find(self, request: Request) -> Found:
        """Raises `TooDeep`, or `Unavailable` where nothing trustworthy can be said."""
        await self._check()
        if request.after is not None and request.after.number >= MOST_HITS:
            raise TooDeep(f"The first {MOST_HITS} hits can be paged through: look for something narrower")
        return await self._finding.find(request)

    async def _check(self) -> None:
        """Who comes in the first moment of the process waits for the change stream to open."""
        if not self._indexing.begun.is_set():  # waiting for what is so already would give up the turn
            with anyio.move_on_after(OPENING_SECONDS):
                await self._indexing.begun.wait()
        if self._engine.serving is not None and not self._indexing.trustworthy:
            raise SearchUnavailable

    async def _scope(
        self, context: Context, kind: Kind | None, project_id: str | None
    ) -> tuple[Scope, Mapping[str, str]]:
        """What they may see as this process knows it: what changed here at once, what changed elsewhere as soon as the
        change stream tells. Besides: the purchases that own listings, by these.
        """
        kinds = frozenset(Kind) if kind is None else frozenset({kind})
        principal = context.principal
        kinds -= {own for own, scope in OWN.items() if not _may(principal, scope)}
        if principal is None:
            return Scope(frozenset() if project_id else frozenset({PUBLIC}), kinds), {}
        projects = frozenset(await context.ask(ListProjectsOf(user_id=principal.user_id, remembered=True)))
        if project_id is not None:
            return Scope(projects & {project_id}, kinds), {}
        owned = ListBought(user_id=principal.user_id, limit=MOST_BOUGHT)
        bought = await context.ask(owned) if Kind.PURCHASE in kinds else ()
        audiences = projects | {PUBLIC, principal.user_id} | {one.audience for one in bought}
        return Scope(audiences, kinds), {one.listing_id: one.purchase_id for one in bought}

    # For operators

    @handles(GetSearchIndex)
    async def get_index(self, message: GetSearchIndex, context: Context) -> SearchIndexView:
        return self.index()

    def index(self) -> SearchIndexView:
        """How far the index of this process is."""
        serving, indexing = self._engine.serving, self._indexing
        return SearchIndexView(
            state=indexing.state,
            schema=str(SCHEMA_VERSION),
            generation=indexing.generation,
            commits=serving.moment if serving is not None else 0,
            documents=serving.meanings.counts() if serving is not None else {},
            waiting=self._changed.waiting,
            oldest_seconds=round(self._changed.oldest_seconds, 3),
            lag_seconds=indexing.lag_seconds,
            looked=self._engine.looked,
            bytes=serving.meanings.bytes if serving is not None else 0,
            built_at=indexing.built_at,
            build_seconds=indexing.build_seconds,
        )


def _request(message: Search, scope: Scope) -> Request:
    filters = Filters(
        category=message.category,
        tag=message.tag,
        licence=message.licence,
        min_price=None if message.min_price is None else to_millicredits(message.min_price),
        max_price=None if message.max_price is None else to_millicredits(message.max_price),
        min_stars=None if message.min_rating is None else round(message.min_rating * 1000),
    )
    after = place_of(message.cursor)
    return Request(message.q, scope, message.mode, filters, limit=message.limit, after=after, facets=message.facets)


def _may(principal: Principal | None, scope: str) -> bool:
    """A public query is anybody's to send, so a program's right to what is its owner's is looked at here."""
    return principal is not None and (principal.scopes is None or scope in principal.scopes)
