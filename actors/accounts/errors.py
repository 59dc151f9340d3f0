"""Why an account is not deleted, or not kept."""

from __future__ import annotations

from promptforge.core.errors import Conflict, PromptForgeError


class DeletionBlocked(Conflict):
    code = "deletion_blocked"
    title = "Something has to end before your account can be deleted"


class NothingToCancel(Conflict):
    code = "nothing_to_cancel"
    title = "No deletion of your account waits"


class PersonalExportNotReady(Conflict):
    code = "export_not_ready"
    title = "There is no file: the export has not ended well, or not yet"


class PersonalExportExpired(PromptForgeError):
    code = "export_expired"
    status = 410
    title = "The file was kept for a week, and is gone: export again"
