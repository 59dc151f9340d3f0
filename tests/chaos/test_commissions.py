"""The service is killed where a decision about frozen earnings, and the settlement beside it, are being carried out.

MongoDB ends the killed transaction after a minute, and until then nothing can write what it has written.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.partner_setups import APPEAL, approved, decide
from tests.support.running import Person, eventually, fund, published_listing, verified_ledger
from tests.support.service import Service, serving

SALES = 3
NO_SETTLEMENT = {"SETTLEMENT_DAYS": "7", "SETTLEMENT_DAYS_NEW_SELLER": "30"}
AT_ONCE = {"SETTLEMENT_DAYS": "0", "SETTLEMENT_DAYS_NEW_SELLER": "0"}


def sold(service: Service, admin: Person, seller: Person) -> tuple[Person, str]:
    """A partner, of whom three sales have a commission of 3 credits each."""
    pat = service.person("pat")
    partner_id = approved(pat, admin)
    pat.post(f"/partnerships/{partner_id}/codes", {"code": "prompt-review"}, expect=201)
    buyer = service.person("bruno")
    touch = buyer.post("/partnerships/clicks", {"code": "prompt-review"})
    buyer.post("/partnerships/attribution", {"tokens": [touch["token"]]}, expect=201)
    fund(service, buyer)
    moderator = service.person("mona", Role.MODERATOR)
    for number in range(SALES):
        listing = published_listing(service, seller, moderator, name=f"Sold {number}", price="100")
        buyer.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "100"}, expect=201)
    return pat, partner_id


def dies_at(service: Service, point: str) -> None:
    service.kill()
    service.set(FAILPOINTS=point)
    service.start()


@pytest.mark.timeout(600)
def test_a_decision_is_carried_out_once_however_often_the_process_dies_of_it(tmp_path: Path) -> None:
    with serving(tmp_path, **NO_SETTLEMENT) as service:
        admin, operator = service.person("admin", Role.ADMIN), service.person("operator", Role.OPERATOR)
        carla = service.person("carla", Role.SELLER)
        pat, partner_id = sold(service, admin, carla)
        earnings = f"/partnerships/{partner_id}/earnings"
        assert pat.get(earnings)["pending"] == "9"
        decide(admin, partner_id, "suspend", "under_review")
        service.set(**AT_ONCE)
        dies_at(service, "settlement.before_commit")
        operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        service.wait()
        dies_at(service, "")
        eventually(lambda: carla.get("/users/me/credits")["earned"] == "255", seconds=180)
        assert (pat.get(earnings)["frozen"], pat.get(earnings)["earned"]) == ("9", "0")
        dies_at(service, "commissions.before_commit")
        released = {"decision": "release", "reason": "The buyers are people."}
        admin.post(f"{earnings}/freezes/0/decision", released)
        service.wait()
        dies_at(service, "")
        eventually(lambda: pat.get(earnings)["earned"] == "9", seconds=180)
        assert pat.get(earnings)["frozen"] == "0"
        assert verified_ledger(operator)["ok"]


@pytest.mark.timeout(600)
def test_what_an_appeal_brings_back_comes_back_once_though_the_process_dies_of_it(tmp_path: Path) -> None:
    with serving(tmp_path, **AT_ONCE) as service:
        admin, operator = service.person("admin", Role.ADMIN), service.person("operator", Role.OPERATOR)
        other = service.person("other", Role.ADMIN)
        other.get("/users/me")
        pat, partner_id = sold(service, admin, service.person("carla", Role.SELLER))
        earnings = f"/partnerships/{partner_id}/earnings"
        decide(admin, partner_id, "suspend", "under_review")
        operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        admin.post(f"{earnings}/freezes/0/decision", {"decision": "forfeit", "reason": "The clicks are a program's."})
        eventually(lambda: pat.get(earnings)["freezes"][0]["forfeited"] == "9", seconds=180)
        pat.post(f"{earnings}/freezes/0/appeal", {"words": APPEAL})
        reverse = {"decision": "reverse", "reason": "They are people from a talk."}
        dies_at(service, "commissions.restored")
        with contextlib.suppress(httpx.HTTPError):  # the job may be faster than the answer
            other.post(f"{earnings}/freezes/0/appeal/decision", reverse)
        service.wait()
        dies_at(service, "")
        eventually(lambda: pat.get(earnings)["earned"] == "9", seconds=180)
        assert other.post(f"{earnings}/freezes/0/appeal/decision", reverse)["freezes"][0]["forfeited"] == "0"
        assert pat.post(f"{earnings}/collect")["amount"] == "9"
        assert verified_ledger(operator)["ok"]
