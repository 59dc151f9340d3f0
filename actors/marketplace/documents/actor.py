"""Hands over to search what may be found of listings, with their sellers' handles, and of what was bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from promptforge.actors.marketplace.documents.bought import BoughtStore
from promptforge.actors.marketplace.documents.messages import (
    Bought,
    ListBought,
    ListListingsFirstBought,
    ListListingsOfSellers,
    ReadBoughtDocuments,
    ReadListingDocuments,
    ScanBoughtDocuments,
    ScanListingDocuments,
)
from promptforge.actors.marketplace.documents.store import Listed, ListingDocumentStore
from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.actors.users.messages import GetNames
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class ListingDocumentsActor(Actor):
    name = "listing_documents"
    asks = ("users",)

    def __init__(self, store: ListingDocumentStore, bought: BoughtStore) -> None:
        self._store = store
        self._bought = bought

    @handles(ReadListingDocuments)
    async def read(self, message: ReadListingDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return await _named(await self._store.read(message.ids), context)

    @handles(ScanListingDocuments)
    async def scan(self, message: ScanListingDocuments, context: Context) -> DocumentPage:
        listed = await self._store.scan(message.after, message.limit)
        following = listed[-1].document.id if len(listed) == message.limit else None
        return DocumentPage(await _named(listed, context), following)

    @handles(ListListingsOfSellers)
    async def list_of_sellers(self, message: ListListingsOfSellers, context: Context) -> tuple[str, ...]:
        return await self._store.ids_of(message.seller_ids)

    # What buyers have

    @handles(ReadBoughtDocuments)
    async def read_bought(self, message: ReadBoughtDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return await self._bought.read(message.ids)

    @handles(ScanBoughtDocuments)
    async def scan_bought(self, message: ScanBoughtDocuments, context: Context) -> DocumentPage:
        return DocumentPage(*await self._bought.scan(message.after, message.limit))

    @handles(ListListingsFirstBought)
    async def list_first_bought(self, message: ListListingsFirstBought, context: Context) -> tuple[str, ...]:
        return await self._bought.list_first_bought(message.purchase_ids)

    @handles(ListBought)
    async def list_bought(self, message: ListBought, context: Context) -> tuple[Bought, ...]:
        return await self._bought.list_bought(message.user_id, message.limit)


async def _named(listed: Sequence[Listed], context: Context) -> tuple[SearchDocument, ...]:
    sellers = tuple({one.seller_id for one in listed})
    people = await context.ask(GetNames(user_ids=sellers)) if sellers else ()
    handles_of = {person.user_id: (person.handle,) for person in people if person.handle is not None}
    return tuple(replace(one.document, names=handles_of.get(one.seller_id, ())) for one in listed)
