"""What exports refuse."""

from __future__ import annotations

from promptforge.core.errors import Conflict, PromptForgeError


class TooManyExports(Conflict):
    code = "too_many_exports"
    title = "As many exports as you may have at once are being written"


class ExportOver(Conflict):
    code = "export_over"
    title = "The export has ended already"


class ExportNotReady(Conflict):
    code = "export_not_ready"
    title = "There is no file: the export has not ended well, or not yet"


class ExportExpired(PromptForgeError):
    code = "export_expired"
    status = 410
    title = "The file was kept for a week, and is gone: export again"
