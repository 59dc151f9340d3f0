"""Notifications by webhook and email from a running service, over real sockets, and when it is killed in the middle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from promptforge.core.principal import Role
from tests.integration.notifications.post import verified
from tests.support.mailbox import Mailbox, mail_server, parts_of
from tests.support.receiver import Receiver, answering, hanging, receiving
from tests.support.running import PATIENCE_SECONDS, PLAIN, Person, eventually
from tests.support.service import Service

HOST = "127.0.0.1"


@dataclass
class Town:
    service: Service
    receiver: Receiver
    mailbox: Mailbox

    def person(self, uid: str) -> Person:
        """With an address."""
        person = self.service.person(uid)
        user_id = person.get("/users/me")["id"]
        with self.service.database() as client:
            client["promptforge"]["users"].update_one({"_id": user_id}, {"$set": {"email": f"{uid}@example.com"}})
        return person

    def tell(self, person: Person, reason: str) -> None:
        user = person.get("/users/me")["id"]
        admin = self.service.person("admin", Role.ADMIN)
        admin.post(f"/users/{user}/grants", {"amount": "1", "reason": reason}, expect=201)

    def webhook(self, person: Person) -> tuple[str, str]:
        made = person.post("/notifications/webhooks", {"url": self.receiver.url}, expect=201)
        return made["id"], made["secret"]

    def received(self, body_begins: str) -> list[Any]:
        return [one for one in self.receiver.received if f'"body":"{body_begins}'.encode() in one.body]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with start_blocking_portal() as portal, ExitStack() as stack:
        receiver = stack.enter_context(portal.wrap_async_context_manager(receiving()))
        mailbox = stack.enter_context(portal.wrap_async_context_manager(mail_server()))
        service = Service(
            tmp_path_factory.mktemp("town"),
            LOG_LEVEL="info",
            WEBHOOK_LOCAL_HOSTS=HOST,
            SMTP_URL=mailbox.url,
            MAIL_FROM="The Forge <hello@forge.example>",
        )
        service.start()
        stack.callback(service.stop)
        yield Town(service, receiver, mailbox)


def test_what_somebody_is_told_reaches_them_by_every_channel(town: Town) -> None:
    carla = town.person("carla")
    webhook_id, secret = town.webhook(carla)
    changed = carla.call(
        "PATCH", "/users/me/settings", {"notifications": {"credits.granted": {"email": True}}}, expect=200
    )
    assert changed["email"] == {"state": "on", "address": "carla@example.com", "reason": None}
    town.tell(carla, "Welcome")
    (received,) = eventually(lambda: town.received("Welcome"))
    (told,) = carla.get("/notifications")["items"]
    event = verified(received, secret)
    assert (event["type"], event["data"]["id"]) == ("credits.granted", told["id"])
    (delivery,) = eventually(
        lambda: carla.get(f"/notifications/webhooks/{webhook_id}/deliveries?state=delivered")["items"]
    )
    assert (delivery["event_id"], [one["outcome"] for one in delivery["attempts"]]) == (told["id"], ["200"])
    mail = eventually(lambda: town.mailbox.mails)[0]
    assert (mail["to"], mail["subject"]) == ("carla@example.com", told["title"]) or mail["to"].endswith(
        "<carla@example.com>"
    )
    assert told["body"] in parts_of(mail)[0]
    hidden = {"notifications": {"credits.granted": {"in_app": False}}}
    problem = carla.call("PATCH", "/users/me/settings", hidden, expect=422)
    assert [(one["code"], one["pointer"]) for one in problem["errors"]] == [
        ("mandatory_channel", "/notifications/credits.granted/in_app")
    ]
    stale = carla.client.patch("/users/me/settings", json={"locale": "de"}, headers={"if-match": '"x"'})
    assert stale.status_code == 412


def test_a_mail_unsubscribes_with_one_click_and_not_by_being_looked_at(town: Town) -> None:
    bruno = town.person("bruno")
    bruno.call("PATCH", "/users/me/settings", {"notifications": {"credits.granted": {"email": True}}}, expect=200)
    town.tell(bruno, "First")
    mail = eventually(lambda: [one for one in town.mailbox.mails if "bruno" in str(one["to"])])[0]
    (url,) = re.findall(r"<(http[^>]+)>", mail["list-unsubscribe"])
    assert url in parts_of(mail)[0]
    assert url.replace("&", "&amp;") in parts_of(mail)[1]
    path = url[url.index("/unsubscribe") :]

    def wanted() -> bool:
        kinds = bruno.get("/users/me/settings")["notifications"]
        return next(bool(one["email"]) for one in kinds if one["kind"] == "credits.granted")

    with httpx.Client(base_url=town.service.base_url, verify=PLAIN, timeout=PATIENCE_SECONDS) as visitor:
        page = visitor.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert '<form method="post">' in page.text
        assert visitor.head(path).status_code == 200
        assert wanted(), "programs that check mails open their links"
        click = {"List-Unsubscribe": "One-Click"}
        for _ in range(2):
            assert "no mails of this kind" in visitor.post(path, data=click).text
        assert not wanted()
        assert "<form" not in visitor.get(path).text
        for wrong in ("/unsubscribe", "/unsubscribe?token=", path[:-1], path + "x", "/unsubscribe?token=" + "a" * 900):
            response = visitor.post(wrong, data=click)
            assert (response.status_code, response.json()["code"]) == (404, "not_found"), wrong
        assert visitor.post(path, content=b"x" * 5000).status_code == 413
        assert visitor.delete(path).status_code == 405
    token = path.partition("token=")[2]
    assert token not in town.service.log
    assert '"/unsubscribe"' in town.service.log


def test_hostile_addresses_are_refused_where_they_are_named(town: Town) -> None:
    dora = town.service.person("dora")
    for url in (
        "https://169.254.169.254/",
        "http://example.com/",
        "https://a@b.example/",
        "https://2130706433/",
        "",
        "x",
    ):
        problem = dora.call("POST", "/notifications/webhooks", {"url": url}, expect=422)
        assert problem["errors"][0]["pointer"] == "/url", url
    body = {"url": "https://example.com/", "secret": "whsec_" + "a" * 100_000}
    problem = dora.call("POST", "/notifications/webhooks", body, expect=422)
    assert [one["code"] for one in problem["errors"]] == ["unknown_field"], "secrets are made here"


def test_a_receiver_that_hangs_keeps_no_request_and_no_other_channel_waiting(town: Town) -> None:
    gina = town.person("gina")
    town.receiver.behaviour = hanging
    webhook_id, _ = town.webhook(gina)
    before = town.receiver.connections
    town.tell(gina, "Hung")
    eventually(lambda: gina.get("/notifications")["items"])
    eventually(lambda: town.receiver.connections > before)
    (delivery,) = gina.get(f"/notifications/webhooks/{webhook_id}/deliveries")["items"]
    assert delivery["state"] == "pending", "it still waits for the answer"
    assert {one["outcome"] for one in delivery["attempts"]} <= {"timeout"}, "for fifteen seconds each time"
    gina.call("DELETE", f"/notifications/webhooks/{webhook_id}", expect=204)
    town.receiver.behaviour = answering(200)


def test_what_was_given_up_with_its_job_is_sent_again_with_the_same_id(town: Town) -> None:
    """A job that an operator cancels, or that dies, ends nothing: its delivery would wait for ever."""
    fred, operator = town.person("fred"), town.service.person("oscar", Role.OPERATOR)
    town.receiver.behaviour = answering(500)
    webhook_id, secret = town.webhook(fred)
    town.tell(fred, "Lost")
    path = f"/notifications/webhooks/{webhook_id}/deliveries"

    def tried() -> Any:
        return [one for one in fred.get(path)["items"] if one["attempts"]]

    (delivery,) = eventually(tried)
    again = f"{path}/{delivery['id']}/send"
    assert fred.post(again, expect=409)["code"] == "delivery_pending", "it is tried again in five seconds"

    def cancelled() -> bool:
        (job,) = operator.get(f"/jobs?owner_id={webhook_id}")["items"]
        operator.client.post(f"/jobs/{job['id']}/cancel")
        return bool(operator.get(f"/jobs/{job['id']}")["state"] == "cancelled")

    eventually(cancelled)
    town.receiver.behaviour = answering(200)
    before = len(town.received("Lost"))
    assert fred.post(again, expect=202)["state"] == "pending"
    ended = eventually(lambda: (one := fred.get(f"{path}/{delivery['id']}"))["state"] != "pending" and one)
    assert (ended["state"], ended["attempts"][-1]["outcome"]) == ("delivered", "200")
    received = town.received("Lost")
    assert len(received) == before + 1
    assert {one.headers["webhook-id"] for one in received} == {delivery["event_id"]}
    assert verified(received[-1], secret)["data"]["id"] == delivery["event_id"]


def test_a_service_that_is_killed_after_sending_sends_the_same_once_more(town: Town) -> None:
    """The rescue waits until the process that was killed is known to be dead."""
    eve = town.person("eve")
    _, secret = town.webhook(eve)
    town.service.terminate()
    town.service.set(FAILPOINTS="notifications.webhook.sent")
    town.service.start()
    town.tell(eve, "Twice")
    eventually(lambda: not town.service.running)
    assert len(town.received("Twice")) == 1
    town.service.set(FAILPOINTS="")
    town.service.start()
    first, second = eventually(lambda: len(town.received("Twice")) > 1 and town.received("Twice"))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert verified(second, secret)["data"]["title"]
    assert len(eve.get("/notifications")["items"]) == 1
    town.receiver.behaviour = answering(200)
