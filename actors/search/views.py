"""What is told of hits, and how the place of a page is written down."""

from __future__ import annotations

from collections.abc import Mapping

from promptforge.actors.search.engine import MOST_HITS, Hit, Place, Shown, ShownOffer
from promptforge.actors.search.messages import Kind, OfferView, SearchHit
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import FieldError, Invalid

IN_PROJECTS = frozenset({Kind.PROJECT, Kind.PROMPT})
_MOST_DIGITS = len(str(MOST_HITS)) + 1


def id_of(document: Shown, bought: Mapping[str, str]) -> str:
    """Of what was bought that of the purchase, which each of its buyers has their own of."""
    return bought.get(document.id, document.id) if document.kind is Kind.PURCHASE else document.id


def hit_view(hit: Hit, bought: Mapping[str, str]) -> SearchHit:
    """`bought`: purchases by listings."""
    document = hit.document
    return SearchHit(
        kind=document.kind,
        id=id_of(document, bought),
        title=document.title,
        summary=document.summary,
        tags=document.tags,
        names=document.names,
        project_id=document.audience if document.kind in IN_PROJECTS else None,
        offer=None if document.offer is None else _offer_view(document.offer),
        changed_at=document.changed_at,
        highlights=hit.highlights,
    )


def _offer_view(offer: ShownOffer) -> OfferView:
    return OfferView(
        category=offer.category,
        licence=offer.licence,
        sells=offer.sells,
        price=from_millicredits(offer.price),
        stars=round(offer.stars / 1000, 2) if offer.stars else None,
        scorecard=offer.scorecard,
    )


def token_of(place: Place | None) -> str | None:
    return None if place is None else f"{place.number}.{place.id}"


def place_of(token: str | None) -> Place | None:
    """Raises `Invalid` for what `token_of` did not make."""
    if token is None:
        return None
    number, _, identifier = token.partition(".")
    if not (number.isascii() and number.isdecimal()) or len(number) > _MOST_DIGITS or not identifier:
        error = FieldError("Not a cursor of this list: use `next` of the page before", "cursor", parameter="cursor")
        raise Invalid("The cursor is not valid", errors=(error,))
    return Place(identifier, int(number))
