"""How a sealed prompt is run: what its seller has pinned, as the API tells it and as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.amounts import CreditAmount, from_millicredits, to_millicredits
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.text import LINE

HIGHEST_SHARE = 100_000
"""Millicredits."""

Row = dict[str, Any]  # Any: a MongoDB document


@dataclass(frozen=True, slots=True)
class RunTerms:
    """The seller's model and parameters, their share of each run in credits, and how many trials a person has.

    The platform keeps its fee of the share. What is null is left to the prompt's version, and then to the model. Trials
    are paid out of a budget that the seller sets aside, and earn nothing.

    Sealing withholds verbatim copies of the text, also in disguise. It cannot exclude paraphrase, translation,
    summaries or extraction piece by piece.
    """

    model: Annotated[str, Len(1, 100), LINE, Field(examples=["gpt-5-mini"])]
    share: CreditAmount = "0"
    max_tokens: Annotated[int, Ge(16), Le(4096)] = 1024
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    trials_per_person: Annotated[int, Ge(0), Le(100)] = 0


def terms_row(terms: RunTerms | None) -> Row | None:
    """Raises `Invalid` for a share that is too high."""
    if terms is None:
        return None
    share = to_millicredits(terms.share)
    if share > HIGHEST_SHARE:
        error = FieldError(f"At most {from_millicredits(HIGHEST_SHARE)} credits", "too_high", pointer="/runs/share")
        raise Invalid("The share of a run is too high", errors=(error,))
    return {
        "model": terms.model,
        "share": share,
        "max_tokens": terms.max_tokens,
        "temperature": terms.temperature,
        "top_p": terms.top_p,
        "trials_per_person": terms.trials_per_person,
    }


def terms_from(row: Row) -> RunTerms:
    return RunTerms(**{**row, "share": from_millicredits(row["share"])})


def find_terms(row: Row | None) -> RunTerms | None:
    return None if row is None else terms_from(row)


def in_words(row: Row | None) -> str | None:
    """For histories and proposals."""
    if row is None:
        return None
    told = [f"{row['model']}, {from_millicredits(row['share'])} credits a run, up to {row['max_tokens']} tokens"]
    told += [f"{name} {row[name]}" for name in ("temperature", "top_p") if row[name] is not None]
    return ", ".join([*told, f"{row['trials_per_person']} trials a person"])
