"""What packages refuse."""

from __future__ import annotations

from promptforge.core.errors import Conflict, PromptForgeError


class PackageRefused(PromptForgeError):
    """A file that is no package, or none to be trusted; `reason` is a stable code for why (docs/package-format.md)."""

    code = "package_refused"
    status = 422
    title = "The file is no package that can be trusted"

    def __init__(self, reason: str = "not_a_package", detail: str | None = None) -> None:
        super().__init__(detail, extra={"reason": reason})
        self.reason = reason


class PackageNameTaken(Conflict):
    code = "package_name_taken"
    title = "You have a package of this name, or of one that looks like it"


class VersionTaken(Conflict):
    code = "version_taken"
    title = "The package has this version already"


class VersionNotGreater(Conflict):
    code = "version_not_greater"
    title = "The version is not greater than what was published in its line"


class NotADraft(Conflict):
    code = "not_a_draft"
    title = "The version is published, or being published, and does not change any more"


class NotPublished(Conflict):
    code = "not_published"
    title = "The version is not published yet"


class NothingToPackage(Conflict):
    code = "nothing_to_package"
    title = "The version has neither prompts nor datasets"


class PackageLimitReached(Conflict):
    """`extra` has the limit."""

    code = "package_limit_reached"
    title = "You have as much of this as one publisher may"


class PackageTooLarge(Conflict):
    code = "package_too_large"
    title = "The package would be too large"


class PackageRevoked(Conflict):
    code = "package_revoked"
    title = "The version was revoked and cannot be installed"


class PackageYanked(Conflict):
    code = "package_yanked"
    title = "The version was yanked by its publisher"


class InstallConflicts(Conflict):
    """`extra` names each conflict."""

    code = "install_conflicts"
    title = "The project has prompts of these names already"


class TooManyUploads(Conflict):
    code = "too_many_uploads"
    title = "You have uploaded as many packages as are kept at once"
