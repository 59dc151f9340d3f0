"""Moving a label: the same for a request and for an import."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import ProjectPermission
from promptforge.actors.prompts.errors import TooManyLabels
from promptforge.actors.prompts.labels.messages import LabelView
from promptforge.actors.prompts.messages import PromptVersionView, PromptView
from promptforge.actors.prompts.registry.above import refuse_to_spoil
from promptforge.actors.prompts.registry.pushing import check_live
from promptforge.core.context import Context

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores

MAX_LABELS = 50


def permission_to_move(label: str, protected: Collection[str]) -> ProjectPermission:
    return ProjectPermission.DEPLOY if label in protected else ProjectPermission.LABEL


async def move_label(  # a move's fields
    stores: Stores,
    tx: Context,
    prompt: PromptView,
    *,
    label: str,
    version: PromptVersionView,
    reason: str | None,
) -> LabelView:
    """Point a label to a version, both read in this transaction; nothing where it points there already.

    What includes this prompt by the label includes that version then, so it must close no circle, and make nothing
    live too deep or too large. That the user may is the caller's to know. Raises `TooManyLabels` or an error of the
    includes.
    """
    current = await stores.labels.find(prompt.id, label, session=tx.session)
    if current is not None and current.version == version.version:
        return current
    if (
        current is None
        and len(await stores.labels.list_of(prompt.id, limit=MAX_LABELS, session=tx.session)) >= MAX_LABELS
    ):
        raise TooManyLabels(f"A prompt has at most {MAX_LABELS} labels")
    moved = await stores.labels.move(
        prompt.id,
        label,
        version.version,
        reason=reason,
        moved_by=tx.user_id,
        now=tx.now(),
        session=tx.session,
    )
    await check_live(stores, tx, prompt, [version])
    await refuse_to_spoil(stores, prompt, label, session=tx.session)
    if not version.includes:  # otherwise `check_live` has: who begins to include this prompt now writes to it too
        await stores.prompts.rely_on({prompt.id}, session=tx.session)
    stores.changes(tx, prompt.id)
    return moved
