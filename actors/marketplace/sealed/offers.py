"""Whether a listing can be run as it is offered: its model is there, it has no tools, and its length can be sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from promptforge.actors.ai.messages import ResolveModel
from promptforge.actors.marketplace.messages import Licence
from promptforge.actors.marketplace.sealed.matching import FEWEST_LETTERS, MOST_LETTERS, letters_in
from promptforge.actors.prompts.rendering.messages import ReadSealedPrompt
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid

RUNNABLE = frozenset({"version", "licence", "runs"})
"""Fields of a listing that say how it is run."""


async def check_offer(prompt_id: str, values: Mapping[str, Any], context: Context) -> None:  # Any: fields as stored
    """Raises `Invalid` or `UnknownModel`."""
    terms = values["runs"]
    if terms is None:
        if values["licence"] == Licence.RUNS:
            raise _invalid("The licence `runs` needs a model and a share", "required")
        return
    await context.ask(ResolveModel(name=terms["model"]))
    sealed = await context.ask(ReadSealedPrompt(prompt_id=prompt_id, version=values["version"]))
    if sealed.tools:
        raise _invalid("Models are given no tools here, and this version has some", "has_tools")
    letters = await anyio.to_thread.run_sync(letters_in, sealed.pieces)
    if letters < FEWEST_LETTERS:
        raise _invalid(
            f"Without its variables the text has {letters} letters; fewer than {FEWEST_LETTERS} cannot be kept sealed",
            "too_short",
        )
    if letters > MOST_LETTERS:
        raise _invalid(
            f"Without its variables the text has {letters} letters; more than {MOST_LETTERS} are not sealed", "too_long"
        )


def _invalid(detail: str, code: str) -> Invalid:
    return Invalid("It cannot be run as it is offered", errors=(FieldError(detail, code, pointer="/runs"),))
