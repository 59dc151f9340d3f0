"""Stripe's webhook of the running service, over its socket: who may tell it something, and what it makes of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from promptforge.core.principal import Role
from tests.support.running import PATIENCE_SECONDS, Person, eventually
from tests.support.service import Service, assert_problem, serving

NEXT, PRESENT, PAST, CONNECT = "whsec_next", "whsec_present", "whsec_past", "whsec_connect"
UNHEARD_OF = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    secrets = {"STRIPE_WEBHOOK_SECRET": f"{NEXT},{PRESENT}", "STRIPE_CONNECT_WEBHOOK_SECRET": CONNECT}
    with serving(tmp_path_factory.mktemp("webhook"), **secrets) as started:
        yield started


@pytest.fixture(scope="module")
def operator(service: Service) -> Person:
    return service.person("operator", Role.OPERATOR)


def event(name: str, **changes: Any) -> str:  # Any: JSON
    return json.dumps(
        {
            "id": f"evt_{name}",
            "object": "event",
            "type": "checkout.session.completed",
            "api_version": stripe.api_version,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {"id": f"cs_{name}", "object": "checkout.session", "mode": "payment"}},
            **changes,
        }
    )


def kept(operator: Person) -> dict[str, Any]:
    return {row["event_id"]: row for row in operator.all("/billing/webhook-events")}


@pytest.mark.parametrize("secret", [NEXT, PRESENT])
def test_while_a_secret_is_rotated_both_may_sign(service: Service, operator: Person, secret: str) -> None:
    assert service.send_event(event(secret, type="x.y"), secret=secret).status_code == 200
    assert f"evt_{secret}" in kept(operator)


@pytest.mark.parametrize(
    ("name", "account", "secret", "age"),
    [
        ("old secret", None, PAST, 0),
        ("replayed after six minutes", None, PRESENT, 360),
        ("from the future", None, PRESENT, -360),
        ("a connected account's, signed with the platform's secret", "acct_1", PRESENT, 0),
        ("the platform's, signed with the Connect endpoint's secret", None, CONNECT, 0),
    ],
)
def test_what_is_not_signed_well_is_refused_and_not_kept(
    service: Service, operator: Person, name: str, account: str | None, secret: str, age: int
) -> None:
    answer = service.send_event(event(name, account=account), secret=secret, at=int(time.time()) - age)
    assert_problem(answer, 400, "bad_signature")
    assert f"evt_{name}" not in kept(operator)


def test_ten_megabytes_are_refused_unread(service: Service) -> None:
    head = (
        f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {UNHEARD_OF}\r\n"
        f"Stripe-Signature: t={int(time.time())},v1={'a' * 64}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("name", "changes", "state", "why"),
    [
        ("livemode", {"livemode": True}, "quarantined", "livemode"),
        ("version", {"api_version": "2099-01-01.unheard"}, "quarantined", "API version"),
        ("no_version", {"api_version": None}, "quarantined", "API version"),
        ("shape", {"data": {"object": {}}}, "quarantined", "shape"),
        ("type", {"type": "plan.imagined"}, "ignored", "type"),
    ],
)
def test_what_is_genuine_and_does_not_fit_is_kept_and_shown(
    service: Service, operator: Person, name: str, changes: dict[str, Any], state: str, why: str
) -> None:
    assert service.send_event(event(name, **changes), secret=PRESENT).status_code == 200
    shown = eventually(lambda: (row := kept(operator).get(f"evt_{name}")) and row["finished_at"] and row)
    assert (shown["state"], why in shown["reason"]) == (state, True)


def test_a_sellers_own_payment_is_not_one_of_ours(service: Service, operator: Person) -> None:
    assert service.send_event(event("minted", account="acct_seller"), secret=CONNECT).status_code == 200
    shown = eventually(lambda: (row := kept(operator).get("evt_minted")) and row["finished_at"] and row)
    assert (shown["state"], shown["account"]) == ("quarantined", "acct_seller")


def test_an_unknown_session_is_kept_tried_again_and_shown(service: Service, operator: Person) -> None:
    paid = {"payment_status": "paid", "amount_subtotal": 500, "currency": "usd"}
    session = {"id": "cs_nobodys", "object": "checkout.session", "mode": "payment", **paid}
    service.send_event(event("nobodys", data={"object": session}), secret=PRESENT)
    shown = eventually(lambda: (row := kept(operator)["evt_nobodys"])["state"] == "failed" and row)
    assert shown["reason"].startswith("unknown_checkout")


def test_an_event_fifty_times_is_fifty_times_200_and_kept_once(service: Service, operator: Person) -> None:
    told = event("often", type="x.y")
    assert {service.send_event(told, secret=PRESENT).status_code for _ in range(50)} == {200}
    assert [row["event_id"] for row in operator.all("/billing/webhook-events")].count("evt_often") == 1
