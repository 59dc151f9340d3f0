"""What can be in the way of a decision."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden


class AlreadyDecided(Conflict):
    code = "already_decided"
    title = "Another moderator has decided this case"


class CaseObsolete(Conflict):
    code = "case_obsolete"
    title = "The listing has moved on; there is nothing to decide any more"


class OwnCase(Forbidden):
    code = "own_case"
    title = "Nobody decides about their own listing"
