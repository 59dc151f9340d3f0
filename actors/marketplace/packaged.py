"""What a listing or a purchase of a package keeps of it.

Where others keep a prompt's id and version, these keep the package's id and the number of its version, counted as
they were published; their `content_hash` is the SHA-256 of its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

Row = dict[str, Any]  # Any: a MongoDB document


@dataclass(frozen=True, slots=True)
class PackageOffer:
    """Which version of which package is sold; its file is at `/packaging/packages/{package_id}/versions/{version}`."""

    package_id: str
    name: Annotated[str, Field(examples=["news-kit"])]
    version: Annotated[str, Field(examples=["1.4.0"])]


def offer_row(offer: PackageOffer) -> Row:
    return {"package_id": offer.package_id, "name": offer.name, "version": offer.version}


def find_offer(row: Row | None) -> PackageOffer | None:
    return None if row is None else PackageOffer(row["package_id"], row["name"], row["version"])
