"""Buying credits where no Stripe key is set: a person pays on the sandbox's page, and its event makes them credits."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.running import (
    PATIENCE_SECONDS,
    Person,
    assert_ledger_whole,
    clean_environment,
    command,
    eventually,
    free_port,
)
from tests.support.service import Service, serving
from tests.support.waiving import WAIVED


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("sandboxed"), STRIPE_WEBHOOK_SECRET="") as started:
        yield started
        assert_ledger_whole(started)


def begin(buyer: Person) -> dict[str, Any]:
    checkout: dict[str, Any] = buyer.post("/billing/checkouts", {"pack_id": "pack_500", **WAIVED}, expect=201)
    return checkout


def press(checkout: dict[str, Any], action: str) -> httpx.Response:
    return httpx.post(checkout["url"], data={"action": action}, timeout=PATIENCE_SECONDS)


def state(buyer: Person, checkout: dict[str, Any]) -> Any:
    return buyer.get(f"/billing/checkouts/{checkout['id']}")["state"]


def test_who_pays_on_the_page_has_credits(service: Service) -> None:
    buyer = service.person("payer")
    checkout = begin(buyer)
    assert checkout["session_id"].startswith("cs_test_")
    page = httpx.get(checkout["url"], timeout=PATIENCE_SECONDS)
    assert "no money moves" in page.text
    assert "5.00 USD" in page.text
    assert "declined" in press(checkout, "fail").text
    sent_back = press(checkout, "pay")
    assert sent_back.status_code == 303
    assert checkout["session_id"] in sent_back.headers["location"]
    eventually(lambda: buyer.get("/users/me/credits")["purchased"] == "500")
    assert state(buyer, checkout) == "paid"


def test_a_delayed_payment_is_credited_when_it_arrives(service: Service) -> None:
    buyer = service.person("patient")
    checkout = begin(buyer)
    press(checkout, "delay")
    eventually(lambda: state(buyer, checkout) == "processing")
    assert buyer.get("/users/me/credits")["purchased"] == "0"
    press(checkout, "settle")
    eventually(lambda: buyer.get("/users/me/credits")["purchased"] == "500")


def test_the_sandbox_of_a_service_is_gone_with_it(tmp_path: Path) -> None:
    with serving(tmp_path, STRIPE_WEBHOOK_SECRET="") as short:
        page = begin(short.person("late"))["url"]
        assert httpx.get(page, timeout=PATIENCE_SECONDS).status_code == 200
        assert short.terminate() == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(page, timeout=5)


def test_a_database_that_knows_real_payments_gets_no_sandbox(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        with service.database() as client:
            client["promptforge"]["webhook_events"].insert_one({"event_id": "evt_live", "livemode": True})
        service.terminate()
        done = service.command("serve", "--port", str(free_port()))
    assert done.returncode == 78
    assert "live Stripe events" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_sandbox_by_itself_serves_another_process(tmp_path: Path) -> None:
    port = free_port()
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "promptforge.deploy", "sandbox", "--port", str(port)],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sandbox.stdout is not None
        told = [sandbox.stdout.readline().strip() for _ in range(5)]
        settings = dict(line.split("=", 1) for line in told[1:])
        assert set(settings) == {
            "STRIPE_API_BASE",
            "STRIPE_SECRET_KEY",
            "STRIPE_WEBHOOK_SECRET",
            "STRIPE_CONNECT_WEBHOOK_SECRET",
        }
        with serving(tmp_path, **settings) as service:
            endpoint = {"url": f"{service.base_url}/webhooks/stripe", "secret": settings["STRIPE_WEBHOOK_SECRET"]}
            key = {"Authorization": f"Bearer {settings['STRIPE_SECRET_KEY']}"}
            control = f"{settings['STRIPE_API_BASE']}/_sandbox"
            answer = httpx.put(
                f"{control}/endpoints", json={"endpoints": [endpoint]}, headers=key, timeout=PATIENCE_SECONDS
            )
            assert answer.status_code == 200
            twice = {"kind": "duplicate", "type": "checkout.session.completed", "copies": 9}
            httpx.post(f"{control}/deliveries/faults", json=twice, headers=key, timeout=PATIENCE_SECONDS)
            buyer = service.person("far")
            press(begin(buyer), "pay")
            eventually(lambda: buyer.get("/users/me/credits")["purchased"] == "500")
            eventually(lambda: httpx.get(control, headers=key, timeout=PATIENCE_SECONDS).json()["undelivered"] == 0)
            assert buyer.get("/users/me/credits")["purchased"] == "500"
    finally:
        sandbox.send_signal(signal.SIGINT)
        rest, _ = sandbox.communicate(timeout=PATIENCE_SECONDS)
    assert (sandbox.returncode, rest) == (0, "")


@pytest.mark.parametrize("name", ["sandbox", "serve"])
def test_production_gets_no_sandbox(tmp_path: Path, name: str) -> None:
    done = command(name, ENVIRONMENT="production", PROMPTFORGE_DATA_DIR=str(tmp_path))
    assert done.returncode == 78
    assert "the Stripe sandbox is for development" in done.stderr


def test_a_live_key_is_told_to_no_sandbox(tmp_path: Path) -> None:
    data = str(tmp_path)
    done = command("sandbox", STRIPE_SECRET_KEY="sk_live_1234", PROMPTFORGE_DATA_DIR=data)
    assert done.returncode == 78
    assert "sk_live_1234" not in done.stderr
    beside = command(
        "serve", STRIPE_SECRET_KEY="sk_live_1234", STRIPE_API_BASE="http://127.0.0.1:1", PROMPTFORGE_DATA_DIR=data
    )
    assert beside.returncode == 78
    assert "live keys go to Stripe only" in beside.stderr
