"""A process is killed while an appeal makes a seller whole: before the commit nothing has happened, after it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import eventually, fund, published_listing, verified_ledger
from tests.support.service import DATABASE, Service, assert_problem, serving

WORDS = {"words": "It is as I have said, and I can show it."}
POINTS = ("compensation.before_commit", "decision.after_commit")


def started_again(service: Service, point: str) -> None:
    """What MongoDB ends after a minute, the transactions of who is gone, ends now."""
    service.wait()
    with service.database() as client:
        client.admin.command("killAllSessions", [])
    service.set(FAILPOINTS=point)
    service.start()


def compensations(service: Service) -> tuple[int, int]:
    """Journals, and notices to whom they are for."""
    with service.database() as client:
        journals = client[DATABASE]["ledger_journals"].count_documents({"_id": {"$regex": "^compensation:"}})
        told = client[DATABASE]["notifications"].count_documents({"kind": "sale.compensated"})
    return journals, told


def test_a_seller_is_made_whole_once_whenever_the_process_dies(tmp_path: Path) -> None:
    with serving(tmp_path, FAILPOINTS=POINTS[0]) as service:
        carla, bruno = service.person("carla", Role.SELLER), service.person("bruno")
        mona, max_ = service.person("mona", Role.MODERATOR), service.person("max", Role.MODERATOR)
        fund(service, bruno)
        listing_id = published_listing(service, carla, mona, name="Killed", price="10")
        purchases = f"/marketplace/listings/{listing_id}/purchases"
        sale = bruno.post(purchases, {"expected_price": "10"}, expect=201)["id"]
        bruno.get(f"/marketplace/purchases/{sale}")
        bruno.post(f"/marketplace/purchases/{sale}/refund", {"words": "It does not do what it says."})

        def case_of(kind: str) -> dict[str, Any]:
            case: dict[str, Any] = eventually(lambda: mona.get(f"/moderation/cases?kind={kind}")["items"])[0]
            return case

        refund = f"/moderation/cases/{case_of('refund')['id']}"
        mona.post(f"{refund}/claim")
        mona.post(f"{refund}/decision", {"decision": "refund", "reason_code": "does_not_work", "public_note": "So."})
        carla.post(f"/marketplace/sales/{sale}/refund/appeal", WORDS)
        appeal = f"/moderation/cases/{case_of('sale_appeal')['id']}"
        max_.post(f"{appeal}/claim")
        granted = {"decision": "compensate", "reason_code": "mistaken", "public_note": "It does what it says."}
        for upcoming in (POINTS[1], ""):
            with pytest.raises(httpx.HTTPError):
                max_.client.post(f"{appeal}/decision", json=granted)
            started_again(service, upcoming)
            if upcoming:
                assert compensations(service) == (0, 0)
                assert max_.get(appeal)["case"]["decision"] is None
                assert carla.get("/users/me/credits")["pending"] == "0"
        assert max_.post(f"{appeal}/decision", granted)["decision"] == "compensate", "the answer was lost, not more"
        other = {**granted, "decision": "refund"}
        assert_problem(max_.client.post(f"{appeal}/decision", json=other), 409, "already_decided")
        eventually(lambda: compensations(service) == (1, 1))
        assert carla.get("/users/me/credits")["pending"] == "8.5"
        report = verified_ledger(service.person("otto", Role.OPERATOR))
        assert (report["ok"], report["violations"]) == (True, [])
