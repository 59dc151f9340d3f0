"""Why an account is not deleted, or not kept."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class DeletionBlocked(Conflict):
    code = "deletion_blocked"
    title = "Something has to end before your account can be deleted"


class NothingToCancel(Conflict):
    code = "nothing_to_cancel"
    title = "No deletion of your account waits"
