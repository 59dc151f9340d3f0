"""Packages as this process has them: their actors, with their stores, keys and files."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.packages import store as packages
from promptforge.actors.packages.documents.actor import PackageDocumentsActor
from promptforge.actors.packages.documents.store import PackageDocumentStore
from promptforge.actors.packages.format.signing import SigningKeys, TrustedKeys, public_key
from promptforge.actors.packages.installing.actor import InstallsActor
from promptforge.actors.packages.messages import SweepPackages
from promptforge.actors.packages.registry.actor import PackagesActor
from promptforge.actors.packages.registry.building import PackageFilesActor
from promptforge.core.jobs import Schedule
from promptforge.core.mongo import Files, Mongo
from promptforge.core.runtime import Actor
from promptforge.deploy.settings import Settings

ACTOR_TYPES: tuple[type[Actor], ...] = (PackagesActor, PackageFilesActor, InstallsActor, PackageDocumentsActor)
INDEXES = packages.INDEXES
SCHEDULES = (Schedule("sweep-packages", "*/10 * * * *", lambda _: SweepPackages()),)


def build_actors(mongo: Mongo, settings: Settings, secrets: Sequence[str]) -> list[Actor]:
    """What publishes packages, builds their files, and installs them."""
    store, installs, files = packages.PackageStore(mongo), packages.InstallStore(mongo), Files(mongo)
    keys = SigningKeys(secrets)
    trusted = TrustedKeys([*keys.public, *map(public_key, settings.package_trusted_keys)])
    return [
        PackagesActor(store, keys, most_bytes=settings.package_storage_mib * 1024**2),
        PackageFilesActor(store, installs, files, keys),
        InstallsActor(store, installs, files, trusted),
        PackageDocumentsActor(PackageDocumentStore(mongo)),
    ]
