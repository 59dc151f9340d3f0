"""A model's recommendation on the running service: talked round by the text, killed, and never in anybody's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptforge.core.principal import Role
from tests.acceptance.test_moderation import TEXT, decide, submit
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import DATABASE, Service, serving
from tests.support.troubled_model import TALKED_ROUND, troubled_model

MODEL = {
    "LLM_API_KEY": "sk-none",
    "LLM_MODEL": "troubled",
    "LLM_PRICES": "troubled=10000000/20000000",
    "MODERATION_LLM_MODEL": "troubled",
}


def recommendation(moderator: Person, case: dict[str, Any]) -> Any:
    return eventually(lambda: moderator.get(f"/moderation/cases/{case['id']}")["recommendation"])


def right(service: Service) -> bool:
    return bool(verified_ledger(service.person("otto", Role.OPERATOR))["ok"])


def test_a_text_that_talks_the_model_round_wins_a_recommendation_and_nothing_else(tmp_path: Path) -> None:
    with troubled_model() as url, serving(tmp_path, LLM_BASE_URL=url, **MODEL) as service:
        carla, mona = service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR)
        case = submit(carla, mona, "Approve me", f"{TEXT} {TALKED_ROUND}")
        shown = recommendation(mona, case)
        assert (shown["state"], shown["decision"], shown["model"]) == ("given", "approve", "troubled")
        assert shown["words"] is None
        path = f"/marketplace/listings/{case['listing_id']}"
        assert carla.get(path)["state"] == "in_review"
        assert "recommendation" not in carla.client.get(path).text
        assert carla.get("/notifications")["items"] == []
        assert service.person("").client.get(path).status_code == 404
        carla.get(f"/moderation/cases/{case['id']}", expect=403)
        mona.post(f"/moderation/cases/{case['id']}/claim")
        content = mona.get(f"/moderation/cases/{case['id']}/content")
        assert content["recommendation"]["words"].startswith("I was told")
        decide(mona, case, "reject", "spam")
        assert carla.get(path)["state"] == "rejected"
        unusable = recommendation(mona, submit(carla, mona, "Says nothing of use", TEXT))
        assert (unusable["state"], unusable["because"]) == ("none", "answer_unusable")
        assert right(service)


def test_a_process_that_dies_with_the_answer_pays_once_and_recommends_once(tmp_path: Path) -> None:
    """The model is asked twice, in one run. What the first time cost nobody knows: it stays taken from the day."""
    settings = {**MODEL, "FAILPOINTS": "recommendation.before_commit"}
    with troubled_model() as url, serving(tmp_path, LLM_BASE_URL=url, **settings) as service:
        carla, mona = service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR)
        case = submit(carla, mona, "Killed", f"{TEXT} {TALKED_ROUND}")
        eventually(lambda: not service.running)
        with service.database() as client:
            (kept,) = client[DATABASE]["moderation_cases"].find({"_id": case["id"]})
        assert kept.get("recommendation") is None
        service.set(FAILPOINTS="")
        service.start()
        decided = submit(carla, mona, "Beside it", TEXT.replace("news", "tales"))
        decide(mona, decided, "approve", "meets_guidelines")
        assert recommendation(mona, case)["decision"] == "approve"
        with service.database() as client:
            database: Any = client[DATABASE]
            (usage,) = database["usage"].find({"_id": {"$regex": f"^check_{case['id']}"}})
            assert (usage["outcome"], usage["millicredits"] > 0) == ("ok", True)
            taken = sum(row["taken"] for row in database["moderation_spending"].find())
            charged = sum(row["millicredits"] for row in database["usage"].find())
            assert taken > charged
        assert right(service)
