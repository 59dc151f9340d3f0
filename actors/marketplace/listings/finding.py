"""Browsing with words or facets: the search index says which listings and how many, the database what they are.

What has left the market since the index was written is not shown: listings are those of the database, as far as changes
have been heard of (`MarketPages`). Lists without words and scorecards come from the database alone; so they are exact,
and can be paged through to their end.
"""

from __future__ import annotations

from dataclasses import replace

from promptforge.actors.marketplace.listings.browsing import sort_of
from promptforge.actors.marketplace.listings.messages import ListingsPage, ListListings
from promptforge.actors.marketplace.listings.pages import MarketPages
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.search.messages import FindListings, Order
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context


def remembered(pages: MarketPages, message: ListListings, context: Context) -> ListingsPage | None:
    """The page, where this process knows that it would be made again as it was."""
    if not _by_index(message):
        return pages.find(message)
    found = context.system.at_hand(_found_for(message), context)
    return None if found is None else pages.find(message, found)


async def browse(store: ListingStore, message: ListListings, context: Context) -> ListingsPage:
    """Raises `Invalid` for a cursor that this list did not give out, `Unavailable` where the index cannot answer."""
    if _by_index(message):
        return await _search(store, message, context)
    page = await _listed(store, replace(message, facets=False))
    if not message.facets:
        return page
    counted = await context.ask(replace(_wanted(message), limit=0))
    return ListingsPage(page.items, page.next, counted.total, counted.facets, counted.state)


async def _listed(store: ListingStore, message: ListListings) -> ListingsPage:
    if (known := store.pages.find(message)) is not None:
        return known
    begun = store.pages.begin()
    found = await store.browse(message)
    page = ListingsPage(found.items, found.next)
    store.pages.keep(begun, message, page)
    return page


async def _search(store: ListingStore, message: ListListings, context: Context) -> ListingsPage:
    found = await context.ask(_found_for(message))
    begun = store.pages.begin()
    listings = await store.published(found.ids)
    items = tuple(listings[one] for one in found.ids if one in listings)
    facets = found.facets if message.facets else None
    page = ListingsPage(items, found.next, found.total, facets, found.state)
    store.pages.keep(begun, message, page, found)
    return page


def _by_index(message: ListListings) -> bool:
    return message.q is not None or message.scorecard


def _found_for(message: ListListings) -> FindListings:
    return replace(_wanted(message), limit=message.limit, cursor=message.cursor)


def _wanted(message: ListListings) -> FindListings:
    sort = Order.RELEVANCE if message.q and message.sort is None else Order(sort_of(message).value)
    least, most = message.min_price, message.max_price
    return FindListings(
        q=message.q or "",
        order=sort,
        category=None if message.category is None else message.category.value,
        tag=message.tag,
        licence=None if message.licence is None else message.licence.value,
        min_price=0 if message.free else None if least is None else to_millicredits(least),
        max_price=0 if message.free else None if most is None else to_millicredits(most),
        min_stars=None if message.min_rating is None else round(message.min_rating * 1000),
        scorecard=message.scorecard,
        facets=message.facets,
    )
