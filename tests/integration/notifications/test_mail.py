"""Notifications by email, through a real mail server on a real socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from promptforge.actors.notifications.mail.messages import (
    EnableEmail,
    GetMailSubscription,
    ReportBounce,
    SendMail,
    Unsubscribe,
)
from promptforge.actors.notifications.messages import DeleteNotification, ListNotifications
from promptforge.actors.notifications.preferences.messages import ChannelChoice
from promptforge.actors.users.settings.messages import GetSettings, UpdateSettings
from promptforge.core.context import Context
from promptforge.core.mongo import Document, Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import interrupt
from tests.integration.notifications.post import Post, open_post
from tests.support.mailbox import Mailbox, mail_server, parts_of
from tests.support.market import raised

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def mailing(mongo: Mongo) -> AsyncIterator[tuple[Post, Mailbox]]:
    async with mail_server() as mailbox:
        url = SecretStr(mailbox.url)
        async with open_post(mongo, smtp_url=url, public_url="https://forge.example") as post:
            yield post, mailbox


async def with_address(post: Post, uid: str, email: str | None = None) -> Context:
    person = await post.person(uid)
    fields = {"email": email or f"{uid}@example.com", "display_name": f"{uid.title()} Example"}
    await post.process.mongo.collection("users").update_one({"_id": person.user_id}, {"$set": fields})
    return person


async def mails_of(mongo: Mongo, person: Context) -> list[Document]:
    """Their deliveries, oldest first."""
    rows = mongo.collection("notification_deliveries").find({"user_id": person.user_id, "channel": "email"})
    return await rows.sort([("_id", 1)]).to_list(100)


def unsubscribe_token(mail: object) -> str:
    found = re.search(r"<https://forge\.example/unsubscribe\?token=([A-Za-z0-9_.-]+)>", str(mail))
    assert found is not None, mail
    return found[1]


async def test_what_somebody_is_told_comes_by_mail_once_as_text_and_html(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        for _ in range(2):
            await post.tell(carla, "1", title="Sold: A “Thing” & more", body="It was bought.\n\nFor 10 credits.")
        await post.work()
        (mail,) = mailbox.mails
        (row,) = await mails_of(mongo, carla)
        assert mailbox.envelopes == [("no-reply@forge.example", ["carla@example.com"])]
        assert mail["subject"] == "Sold: A “Thing” & more"
        assert mail["to"] == "Carla Example <carla@example.com>"
        assert mail["from"] == "PromptForge <no-reply@forge.example>"
        assert mail["message-id"] == f"<{row['_id']}@forge.example>"
        assert mail["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        assert mail["auto-submitted"] == "auto-generated"
        text, html = parts_of(mail)
        assert "It was bought.\n\nFor 10 credits." in text.replace("\r\n", "\n")
        assert "Sold: A “Thing” &amp; more" in html
        assert html.count("<p ") == 3
        assert row["state"] == "delivered"


async def test_what_people_wrote_is_neither_markup_nor_headers(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        name = 'Eve"\r\nBcc: all@example.com'
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"display_name": name}})
        title = "Sold\r\nBcc: everybody@example.com\r\n\r\n<script>alert(1)</script>\u202e\u2028{{ 7*7 }}"
        await post.tell(carla, "1", title=title, body="<img src=x onerror=alert(1)>\n.\nQUIT\r\n.\r\nRCPT TO:<x@y.z>")
        await post.work()
        (mail,) = mailbox.mails
        assert mail["bcc"] is None
        assert mail["subject"] == "Sold Bcc: everybody@example.com <script>alert(1)</script> {{ 7*7 }}"
        assert mailbox.envelopes[0][1] == ["carla@example.com"]
        text, html = parts_of(mail)
        assert "<script>" not in html
        assert "<img" not in html
        assert "&lt;script&gt;" in html
        assert "{{ 7*7 }}" in html
        assert "RCPT TO:<x@y.z>" in text


async def test_only_what_is_wanted_by_mail_when_it_is_sent_is_sent(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        await post.tell(carla, "quiet", kind="listing.reviewed")
        await post.work()
        assert mailbox.mails == []
        mailbox.refusals["carla@example.com"] = "451 4.3.0 Later"
        await post.tell(carla, "turned off")
        await post.tell(carla, "deleted", kind="payout.sent")
        await post.work()
        await carla.ask(UpdateSettings(notifications={"listing.sold": ChannelChoice(email=False)}))
        (newest, *_) = (await carla.ask(ListNotifications())).items
        assert newest.kind == "payout.sent"
        await carla.ask(DeleteNotification(notification_id=newest.id))
        mailbox.refusals.clear()
        await post.pass_time(minutes=1)
        assert mailbox.mails == []
        assert [row["reason"] for row in await mails_of(mongo, carla)] == [
            "not_wanted",
            "not_wanted",
            "notification_deleted",
        ]


@pytest.mark.parametrize("email", ["", "x", "a@b", "a b@example.com", "a@example.com\r\nBcc: x@y.zz", "a@exa mple.com"])
async def test_without_a_usable_address_nothing_is_sent(mongo: Mongo, email: str) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"email": email}})
        await post.tell(carla, "1")
        await post.work()
        assert mailbox.attempts == 0
        assert [row["reason"] for row in await mails_of(mongo, carla)] == ["no_address"]
        assert (await carla.ask(GetSettings())).email.state == "no_address"


async def test_the_suspended_hear_by_mail_what_they_must_be_told(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"suspended": True}})
        await post.tell(carla, "1", kind="payout.held")
        await post.tell(carla, "2", kind="listing.sold")
        await post.work()
        assert [mail["subject"] for mail in mailbox.mails] == ["Title 1"]


async def test_a_process_that_ends_after_the_server_took_it_sends_the_same_mail_again(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")

        async def after_it_was_told() -> None:
            post.transactions.before_commit = interrupt

        post.transactions.before_commit = after_it_was_told
        await post.tell(carla, "1")
        await post.work()
        assert [row["state"] for row in await mails_of(mongo, carla)] == ["pending"]
        await post.pass_time(seconds=5)
        first, second = mailbox.mails
        assert first["message-id"] == second["message-id"]
        assert (first["date"], parts_of(first)) == (second["date"], parts_of(second))
        assert [row["state"] for row in await mails_of(mongo, carla)] == ["delivered"]


async def test_an_address_that_bounces_is_left_alone_until_its_owner_says_otherwise(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        mailbox.refusals["carla@example.com"] = "550 5.1.1 No such mailbox here"
        await post.tell(carla, "1")
        await post.work()
        told = [one.kind for one in (await carla.ask(ListNotifications())).items]
        assert told == ["email.bounced", "listing.sold"]
        email = (await carla.ask(GetSettings())).email
        assert (email.state, email.address, email.reason) == ("bounced", "carla@example.com", "550 5.1.1")
        await post.tell(carla, "2")
        await post.pass_time(days=1)
        assert mailbox.attempts == 1
        states = [(row["state"], row["reason"]) for row in await mails_of(mongo, carla)]
        assert states == [("failed", "bounced"), ("skipped", "address_bounced")]
        mailbox.refusals.clear()
        assert (await carla.ask(EnableEmail())).state == "on"
        await post.tell(carla, "3")
        await post.work()
        assert [mail["subject"] for mail in mailbox.mails] == ["Title 3"]


async def test_another_address_starts_anew(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        mailbox.refusals["carla@example.com"] = "550 5.2.1 Disabled"
        await post.tell(carla, "1")
        await post.work()
        await with_address(post, "carla", "other@example.com")
        await post.tell(carla, "2")
        await post.work()
        assert mailbox.envelopes[-1][1] == ["other@example.com"]


@pytest.mark.parametrize("answer", ["550 5.7.1 Blocked by policy", "552 5.2.2 Mailbox full", "554 5.4.0 No route"])
async def test_what_is_refused_for_other_reasons_is_no_bounce(mongo: Mongo, answer: str) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        mailbox.refusals["carla@example.com"] = answer
        await post.tell(carla, "1")
        await post.work()
        assert [(row["state"], row["reason"]) for row in await mails_of(mongo, carla)] == [("failed", "refused")]
        assert (await carla.ask(GetSettings())).email.state == "on"


async def test_a_server_that_is_away_for_hours_delays_mail_and_loses_none(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla, eve = await with_address(post, "carla"), await with_address(post, "eve")
        mailbox.after_data = "451 4.3.2 Not now"
        await post.tell(carla, "1")
        await post.tell(eve, "1")
        await post.work()
        for _ in range(6):
            await post.pass_time(hours=1)
        assert {row["state"] for row in await mails_of(mongo, carla)} == {"pending"}
        mailbox.after_data = None
        for _ in range(12):
            await post.pass_time(hours=1)
        assert sorted(envelope[1][0] for envelope in mailbox.envelopes) == ["carla@example.com", "eve@example.com"]


async def test_what_the_server_never_takes_is_given_up_after_about_a_day(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        mailbox.after_data = "451 4.3.2 Not now"
        await post.tell(carla, "1")
        for _ in range(70):  # 27 hours by chance, and each wait ends some minutes after it is over
            await post.pass_time(minutes=30)
        (row,) = await mails_of(mongo, carla)
        assert (row["state"], row["reason"], len(row["attempts"])) == ("failed", "unavailable", 9)
        assert {one["outcome"] for one in row["attempts"]} == {"451"}


async def test_a_link_in_the_mail_unsubscribes_from_its_kind_without_a_sign_in(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        await post.tell(carla, "1")
        await post.work()
        (written,) = re.findall(rb"^List-Unsubscribe: (.*)\r\n(?!\s)", mailbox.raw[0], re.MULTILINE)
        token = unsubscribe_token(written.decode("ascii"))  # as providers read it, who decode nothing there (RFC 2369)
        assert max(map(len, mailbox.raw[0].split(b"\r\n"))) < 998
        visitor = post.process.context()
        assert (await visitor.ask(GetMailSubscription(token=token))).subscribed
        for _ in range(2):
            assert not (await visitor.ask(Unsubscribe(token=token))).subscribed
        assert not (await visitor.ask(GetMailSubscription(token=token))).subscribed
        await post.tell(carla, "2")
        await post.tell(carla, "3", kind="payout.sent")
        await post.work()
        assert [mail["subject"] for mail in mailbox.mails] == ["Title 1", "Title 3"]
        changed = token[:-1] + ("A" if token[-1] != "A" else "B")
        for wrong in (changed, token[1:], token.partition(".")[0], f"{token}.", ".", "x.y", "ä", token + "="):
            assert await raised(visitor, Unsubscribe(token=wrong)) == "not_found", wrong


async def test_operators_report_what_came_back_later(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        operator = await post.market.person("operator", Role.OPERATOR)
        await post.tell(carla, "1")
        await post.work()
        (row,) = await mails_of(mongo, carla)
        report = ReportBounce(delivery_id=row["_id"], reason="5.1.1 user unknown")
        assert await raised(carla, report) == "forbidden"
        assert await raised(operator, report) == "done"
        assert (await carla.ask(GetSettings())).email.state == "bounced"
        assert await raised(operator, ReportBounce(delivery_id="dlv_none", reason="x")) == "not_found"
        assert await raised(carla, SendMail(delivery_id=row["_id"])) == "forbidden"
        assert len(mailbox.mails) == 1


async def test_what_comes_back_late_says_nothing_of_another_address(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, _mailbox):
        carla = await with_address(post, "carla")
        operator = await post.market.person("operator", Role.OPERATOR)
        await post.tell(carla, "1")
        await post.work()
        (row,) = await mails_of(mongo, carla)
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"email": "new@example.org"}})
        report = ReportBounce(delivery_id=row["_id"], reason="5.1.1 user unknown")
        assert await raised(operator, report) == "done"
        assert (await carla.ask(GetSettings())).email.state == "on"
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"email": "carla@example.com"}})
        assert await raised(operator, report) == "done"
        assert (await carla.ask(GetSettings())).email.state == "bounced"


async def test_an_old_link_keeps_nothing_of_whoever_is_gone(mongo: Mongo) -> None:
    async with mailing(mongo) as (post, mailbox):
        carla = await with_address(post, "carla")
        await post.tell(carla, "1")
        await post.work()
        token = unsubscribe_token(mailbox.mails[0]["list-unsubscribe"])
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"closed_at": datetime.now(UTC)}})
        visitor = post.process.context()
        assert not (await visitor.ask(Unsubscribe(token=token))).subscribed
        assert await mongo.collection("notification_preferences").count_documents({}) == 0


async def test_without_a_mail_server_nothing_is_recorded_and_settings_say_so(post: Post, mongo: Mongo) -> None:
    carla = await with_address(post, "carla")
    await post.tell(carla, "1")
    await post.work()
    assert await mails_of(mongo, carla) == []
    email = (await carla.ask(GetSettings())).email
    assert (email.state, email.address) == ("not_configured", "carla@example.com")
