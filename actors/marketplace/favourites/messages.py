"""Favourites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.messages import ListingId, ListingView
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page


@dataclass(frozen=True, slots=True)
class FavouriteView:
    """Something you marked. `listing` is null while it is not on the market."""

    listing_id: str
    listing: ListingView | None
    created_at: datetime


@requires(scope="favourites:write")
class AddFavourite(Command[FavouriteView]):
    """Mark a published listing, to find it again; marking it twice is marking it once."""

    listing_id: ListingId


@requires(scope="favourites:write")
class RemoveFavourite(Command[None]):
    """Mark a listing no more."""

    listing_id: ListingId


@requires(scope="favourites:read")
class ListFavourites(Query[Page[FavouriteView]]):
    """List what you have marked, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None
