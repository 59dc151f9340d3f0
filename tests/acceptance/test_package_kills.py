"""A service that is killed while it builds a package, and while it installs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.package_setups import drafted
from tests.support.running import eventually
from tests.support.service import DATABASE, serving


def test_what_is_killed_is_built_once_later_and_installed_wholly_or_not_at_all(tmp_path: Path) -> None:
    """It kills itself once the file is written and not yet published; then with all of an installation written."""
    with serving(tmp_path, FAILPOINTS="package.file_written") as service, service.database() as client:
        database: Any = client[DATABASE]
        ada = service.person("ada")
        prompt = ada.post("/prompts", {"name": "Greeting", "first_version": {"content": "Hello"}}, expect=201)
        path = drafted(ada, prompt["id"])
        ada.post(f"{path}/publish", expect=202)
        eventually(lambda: not service.running)
        assert database["files.files"].count_documents({}) == 1
        assert database["package_versions"].find_one()["state"] == "building"

        service.set(FAILPOINTS="package.installed.before_commit")
        service.start()
        eventually(lambda: ada.get(path)["state"] == "published")
        file = database["files.files"].find_one()
        assert database["files.files"].count_documents({}) == 1
        assert database["files.chunks"].distinct("files_id") == [file["_id"]]
        assert ada.client.get(f"{path}/file").status_code == 200

        project = ada.post("/projects", {"name": "Home"}, expect=201)["id"]
        body = {"package_id": path.split("/")[3], "version": "1.0.0", "project_id": project}
        with pytest.raises(httpx.HTTPError):
            ada.client.post("/packaging/installs", json=body)
        eventually(lambda: not service.running)

        service.set(FAILPOINTS="")
        service.start()
        assert ada.get(f"/prompts?project_id={project}")["items"] == []
        assert database["package_installs"].count_documents({}) == 0
        body["project_id"] = ada.post("/projects", {"name": "Away"}, expect=201)["id"]
        assert (
            len(ada.post("/packaging/installs", body, expect=201)["prompts"]) == 1
        )  # the dead one's locks last a minute
