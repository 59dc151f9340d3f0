"""What the operations of packages need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.ids import new_id
from tests.support.running import LISTING, Person, eventually

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")
VERSION = "1.0.0"


def new_name() -> str:
    return "kit-" + new_id("x").replace("_", "-")


def drafted(
    person: Person, *prompt_ids: str, version: str = VERSION, package_id: str | None = None, **body: Any
) -> str:
    """The path of a draft of the first version of these prompts, in a package of its own where none is named."""
    if package_id is None:
        package_id = str(person.post("/packaging/packages", {"name": new_name()}, expect=201)["id"])
    chosen = [{"prompt_id": prompt_id, "version": 1} for prompt_id in prompt_ids]
    path = f"/packaging/packages/{package_id}/versions"
    person.post(path, {"version": version, "prompts": chosen, **body}, expect=201)
    return f"{path}/{version}"


def published(person: Person, path: str) -> dict[str, Any]:
    """The version, once its file is built."""
    person.post(f"{path}/publish", expect=202)
    found: dict[str, Any] = eventually(lambda: (one := person.get(path))["state"] != "building" and one)
    assert found["state"] == "published", found
    return found


def _package(world: World) -> dict[str, Any]:
    return {"package_id": world.owner.post("/packaging/packages", {"name": new_name()}, expect=201)["id"]}


def _draft(world: World) -> dict[str, Any]:
    path = drafted(world.owner, world.prompt()["prompt_id"])
    return {"package_id": path.split("/")[3], "version": VERSION}


def _published(world: World) -> dict[str, Any]:
    path = drafted(world.owner, world.prompt()["prompt_id"])
    published(world.owner, path)
    return {"package_id": path.split("/")[3], "version": VERSION}


def _upload_body(world: World) -> bytes:
    made = _published(world)
    path = f"/packaging/packages/{made['package_id']}/versions/{VERSION}/file"
    return world.owner.client.get(path).content


def _uploaded(world: World) -> dict[str, Any]:
    headers = {"content-type": "application/zip"}
    answer = world.owner.client.post("/packaging/uploads", content=_upload_body(world), headers=headers)
    assert answer.status_code == 201, answer.text
    return {"upload_id": answer.json()["id"]}


def _install_body(world: World) -> dict[str, Any]:
    return {**_published(world), "project_id": world.project()["project_id"]}


def _listing_body(world: World) -> dict[str, Any]:
    return {**_published(world), **{name: told for name, told in LISTING.items() if name != "version"}, "price": "0"}


def _listing(world: World) -> dict[str, Any]:
    made = world.owner.post("/marketplace/package-listings", _listing_body(world), expect=201)
    return {"listing_id": made["id"]}


def _install(world: World) -> dict[str, Any]:
    return {"install_id": world.owner.post("/packaging/installs", _install_body(world), expect=201)["id"]}


def _reason(_: World) -> dict[str, Any]:
    return {"reason": "A test of permissions"}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "listSigningKeys": case(),
        "getManifestSchema": case(),
        "createPackage": case(body=lambda _: {"name": new_name()}),
        "listPackages": case(),
        "getPackage": case(_package),
        "listPackageVersions": case(_package),
        "draftPackageVersion": case(_package, lambda _: {"version": "2.0.0"}),
        "getPackageVersion": case(_draft),
        "editPackageVersion": case(_draft, lambda _: {"description": "x"}),
        "discardPackageVersion": case(_draft),
        "publishPackageVersion": case(_draft),
        "yankPackageVersion": case(_published, _reason),
        "unyankPackageVersion": case(_published),
        "revokePackageVersion": case(_published, _reason),
        "revokeFile": case(body=lambda world: {**_reason(world), "sha256": "ab" * 32}),
        "downloadPackage": case(_published),
        "uploadPackage": case(body=_upload_body),
        "listUploads": case(),
        "discardUpload": case(_uploaded),
        "installPackage": case(body=_install_body),
        "tryInstall": case(body=_install_body),
        "listInstalls": case(),
        "getInstall": case(_install),
        "createPackageListing": case(body=_listing_body),
        "offerPackageVersion": case(_listing, lambda _: {"version": VERSION}),
    }
