"""Favourites: put, taken away, listed with what has become of them."""

from __future__ import annotations

from promptforge.actors.marketplace.favourites.messages import (
    AddFavourite,
    FavouriteView,
    ListFavourites,
    RemoveFavourite,
)
from promptforge.actors.marketplace.favourites.store import FavouriteStore
from promptforge.actors.marketplace.listings.store import ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class FavouritesActor(Actor):
    name = "favourites"

    def __init__(self, favourites: FavouriteStore, listings: ListingStore) -> None:
        self._favourites = favourites
        self._listings = listings

    @handles(AddFavourite, atomic=True)
    async def add(self, message: AddFavourite, context: Context) -> FavouriteView:
        listing = await self._listings.get(message.listing_id, session=context.session)
        if listing.state is not ListingState.PUBLISHED:
            raise no_listing()
        kept = await self._favourites.add(context.user_id, listing.id, now=context.now(), session=context.session)
        return FavouriteView(listing.id, listing.view(for_seller=False), kept.created_at)

    @handles(RemoveFavourite, atomic=True)
    async def remove(self, message: RemoveFavourite, context: Context) -> None:
        await self._favourites.remove(context.user_id, message.listing_id, session=context.session)

    @handles(ListFavourites)
    async def list_favourites(self, message: ListFavourites, context: Context) -> Page[FavouriteView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._favourites.list_page(context.user_id, cursor=cursor, limit=message.limit)
        shown = await self._listings.published([one.listing_id for one in page.items])
        return Page(
            tuple(FavouriteView(one.listing_id, shown.get(one.listing_id), one.created_at) for one in page.items),
            page.next,
        )
