"""A dataset and an evaluation over HTTP, as a frontend uses them; with a model that is a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptforge.core.principal import Role
from tests.support.faulty_models import faulty_models
from tests.support.running import assert_ledger_whole, eventually
from tests.support.service import Service, serving

PRICES = {"LLM_PRICES": "mock=10000000/20000000"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        faulty_models(tmp_path_factory.mktemp("models")) as models,
        serving(tmp_path_factory.mktemp("evaluations"), **{**models.settings(), **PRICES}) as started,
    ):
        yield started
        assert_ledger_whole(started)


def test_a_version_is_evaluated_on_a_dataset_as_a_job(service: Service) -> None:
    ada = service.person("ada")
    identifier = ada.get("/users/me")["id"]
    grant = {"amount": "100", "reason": "A test"}
    service.person("admin", Role.ADMIN).post(f"/users/{identifier}/grants", grant, expect=201)
    prompt = {"name": "Greeting", "first_version": {"content": "Say hello to {{word}}"}}
    prompt_id = ada.post("/prompts", prompt, expect=201)["id"]
    dataset_id = ada.post("/datasets", {"name": "Words"}, expect=201)["id"]
    items = [{"variables": {"word": f"word{number}"}} for number in range(5)]
    assert ada.post(f"/datasets/{dataset_id}/items", {"items": items})["item_count"] == 5
    wanted = {
        "prompt_id": prompt_id,
        "version": 1,
        "dataset_id": dataset_id,
        "scorers": [{"kind": "regex", "pattern": "."}],
    }
    response = ada.client.post("/evaluations", json=wanted)
    assert response.status_code == 202, response.text
    evaluation = response.json()
    assert response.headers["location"].endswith(f"/jobs/{evaluation['job_id']}")
    path = f"/evaluations/{evaluation['id']}"
    done = eventually(lambda: (told := ada.get(path))["summary"] and told)
    assert (done["status"], done["items_done"], done["summary"]["errors"]) == ("finished", 5, 0), done
    assert ada.get(f"/jobs/{evaluation['job_id']}")["state"] == "completed"
    page = ada.get(f"{path}/results?limit=3")
    assert [len(page["items"]), len(ada.get(f"{path}/results?cursor={page['next']}")["items"])] == [3, 2]
    credits, charged = ada.get("/users/me/credits"), float(done["summary"]["credits"])
    assert charged > 0
    assert float(credits["available"]) == pytest.approx(100 - charged)
    assert credits["reserved"] == "0"
    compared = ada.get(f"{path}/comparison?with={evaluation['id']}")
    assert (compared["same"], len(compared["items"])) == (5, 5)
    ada.post(f"{path}/cancel", expect=409)
