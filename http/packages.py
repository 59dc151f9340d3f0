"""Packages: publishing them, their files, and installing them."""

from __future__ import annotations

from promptforge.actors.datasets.errors import DatasetFull
from promptforge.actors.packages.errors import (
    InstallConflicts,
    NotADraft,
    NothingToPackage,
    NotPublished,
    PackageLimitReached,
    PackageNameTaken,
    PackageRefused,
    PackageRevoked,
    TooManyUploads,
    VersionNotGreater,
    VersionTaken,
)
from promptforge.actors.packages.installing.messages import (
    DiscardUpload,
    GetInstall,
    InstallPackage,
    ListInstalls,
    ListUploads,
    TryInstall,
    UploadPackage,
)
from promptforge.actors.packages.messages import (
    CreatePackage,
    DiscardPackageVersion,
    DownloadPackage,
    DraftPackageVersion,
    EditPackageVersion,
    GetManifestSchema,
    GetPackage,
    GetPackageVersion,
    ListPackages,
    ListPackageVersions,
    ListSigningKeys,
    PublishPackageVersion,
    RevokeFile,
    RevokePackageVersion,
    UnyankPackageVersion,
    YankPackageVersion,
)
from promptforge.actors.projects.errors import ProjectArchived, ProjectRoleMissing
from promptforge.actors.prompts.errors import (
    IncludeCycle,
    IncludeMissing,
    IncludesTooDeep,
    IncludesTooLarge,
    NamesCollide,
    NameTaken,
    TooMuchToPack,
    UnknownIncludes,
    UnpinnedInclude,
)
from promptforge.core.errors import NotFound
from promptforge.http.rates import RateClass
from promptforge.http.routing import Upload, delete, download, get, patch, post, upload

_PACKAGE = "/packaging/packages/{package_id}"
_VERSION = _PACKAGE + "/versions/{version}"
_ZIP = Upload("data", "application/zip")
_INSTALLING = (
    *(NotFound, NotPublished, PackageRefused, PackageRevoked, ProjectRoleMissing, ProjectArchived, NameTaken),
    *(IncludeCycle, IncludesTooDeep, IncludesTooLarge, IncludeMissing, UnknownIncludes, DatasetFull),
)

routes = [
    get("/packaging/keys", ListSigningKeys),
    get("/packaging/schema", GetManifestSchema),
    get("/packaging/packages", ListPackages),
    post("/packaging/packages", CreatePackage, status=201, errors=(PackageNameTaken, PackageLimitReached)),
    get(_PACKAGE, GetPackage),
    get(_PACKAGE + "/versions", ListPackageVersions),
    post(
        _PACKAGE + "/versions",
        DraftPackageVersion,
        status=201,
        location=_VERSION,
        errors=(VersionTaken, PackageLimitReached),
    ),
    get(_VERSION, GetPackageVersion),
    patch(_VERSION, EditPackageVersion, errors=(NotADraft,)),
    delete(_VERSION, DiscardPackageVersion, errors=(NotADraft,)),
    post(
        _VERSION + "/publish",
        PublishPackageVersion,
        status=202,
        location=_VERSION,
        errors=(
            *(NotADraft, NothingToPackage, VersionNotGreater, UnpinnedInclude, NamesCollide, TooMuchToPack),
            PackageLimitReached,
            *(ProjectRoleMissing, ProjectArchived),
        ),
    ),
    post(_VERSION + "/yank", YankPackageVersion),
    post(_VERSION + "/unyank", UnyankPackageVersion),
    post(_VERSION + "/revoke", RevokePackageVersion),
    post("/packaging/revoked-files", RevokeFile, status=201),
    download(_VERSION + "/file", DownloadPackage, errors=(NotPublished, PackageRevoked)),
    upload("/packaging/uploads", UploadPackage, _ZIP, status=201, errors=(PackageRefused, TooManyUploads)),
    get("/packaging/uploads", ListUploads),
    delete("/packaging/uploads/{upload_id}", DiscardUpload),
    get("/packaging/installs", ListInstalls),
    post("/packaging/installs", InstallPackage, status=201, errors=(InstallConflicts, *_INSTALLING)),
    post("/packaging/installs/trial", TryInstall, rate=RateClass.EXPENSIVE, errors=_INSTALLING),
    get("/packaging/installs/{install_id}", GetInstall),
]
