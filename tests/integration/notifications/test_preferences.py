"""What people chose, and what becomes of what they are told, on a real MongoDB."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from promptforge.actors.notifications.actor import NotificationsActor
from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkRead,
    NotifyUser,
)
from promptforge.actors.notifications.preferences.domain import Chosen
from promptforge.actors.notifications.preferences.messages import ChannelChoice, KindChannelsView
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.users.settings.messages import GetSettings, SettingsView, UpdateSettings
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo, Session
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


def told(person: Context, key: str, kind: str = "listing.reviewed") -> NotifyUser:
    return NotifyUser(
        user_id=person.user_id, kind=kind, title=f"Title {key}", body="B", subject={}, dedupe_key=f"{kind}:{key}"
    )


def channels_of(settings: SettingsView, kind: str) -> KindChannelsView:
    return next(one for one in settings.notifications if one.kind == kind)


async def test_settings_are_as_usual_until_somebody_changes_them(branches: Branches) -> None:
    carla, there = await branches.person("carla")
    usual = await carla.ask(GetSettings())
    assert (usual.locale, usual.default_model, usual.marketing) == ("en", None, False)
    quiet = {"listing.reviewed": ChannelChoice(in_app=False, email=True)}
    changed = await carla.ask(UpdateSettings(locale="pt-BR", default_model="small", notifications=quiet))
    assert (changed.locale, changed.default_model) == ("pt-BR", "small")
    cleared = await carla.ask(UpdateSettings(default_model=None, marketing=True))
    assert (cleared.locale, cleared.default_model, cleared.marketing) == ("pt-BR", None, True)
    assert await there.ask(GetSettings()) == cleared
    mine = channels_of(cleared, "listing.reviewed")
    assert (mine.in_app, mine.email, mine.webhook, mine.mandatory) == (False, True, True, False)
    eve, _ = await branches.person("eve")
    assert await eve.ask(GetSettings()) == usual


async def test_choices_made_at_once_in_two_processes_are_all_kept(branches: Branches) -> None:
    here, there = await branches.person("carla")
    kinds = ("listing.sold", "listing.reviewed", "purchase.completed", "report.decided")
    asks = [
        (person, UpdateSettings(notifications={kind: choice}))
        for kind in kinds
        for person, choice in ((here, ChannelChoice(in_app=False)), (there, ChannelChoice(webhook=False)))
    ]
    assert await all_at_once(asks) == {"done": 8}
    settings = await here.ask(GetSettings())
    assert {(channels_of(settings, kind).in_app, channels_of(settings, kind).webhook) for kind in kinds} == {
        (False, False)
    }


async def test_a_refused_choice_changes_no_other_setting_either(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    hidden = {"payout.held": ChannelChoice(in_app=False)}
    assert await raised(carla, UpdateSettings(locale="de", notifications=hidden)) == "invalid_request"
    assert (await carla.ask(GetSettings())).locale == "en"


async def test_what_is_not_to_be_shown_is_not_shown_and_never_told_again(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    service = branches.here.process.context()
    await carla.ask(UpdateSettings(notifications={"listing.reviewed": ChannelChoice(in_app=False)}))
    await service.ask(told(carla, "1"))
    await service.ask(told(carla, "2", kind="payout.held"))
    assert [one.title for one in (await carla.ask(ListNotifications())).items] == ["Title 2"]
    assert (await carla.ask(CountUnread())).unread == 1
    await carla.ask(UpdateSettings(notifications={"listing.reviewed": ChannelChoice(in_app=True)}))
    await service.ask(told(carla, "1"))
    await service.ask(told(carla, "3"))
    assert [one.title for one in (await carla.ask(ListNotifications())).items] == ["Title 3", "Title 2"]


class Interposing:
    """Preferences as they are kept; between the first reading and what comes of it, somebody does `work`."""

    def __init__(self, kept: PreferenceStore, work: Callable[[], Awaitable[object]]) -> None:
        self._kept = kept
        self._work: Callable[[], Awaitable[object]] | None = work
        self.read = 0

    async def chosen_by(self, user_id: str, *, session: Session | None = None) -> Chosen:
        self.read += 1
        chosen = await self._kept.chosen_by(user_id, session=session)
        if self._work is not None:
            work, self._work = self._work, None
            await work()
        return chosen


async def test_a_choice_made_in_another_process_while_somebody_is_told_counts(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in the transaction that tells, which conflicts with the one that chooses: or it would be shown after all."""
    carla, there = await branches.person("carla")
    service = branches.here.process.context()
    await service.ask(told(carla, "1"))
    actor = branches.here.process.system.bindings[NotifyUser].cell.actor
    assert isinstance(actor, NotificationsActor)
    hidden = UpdateSettings(notifications={"listing.reviewed": ChannelChoice(in_app=False)})
    interposing = Interposing(actor._preferences, lambda: there.ask(hidden))
    monkeypatch.setattr(actor, "_preferences", interposing)
    await service.ask(told(carla, "2"))
    assert interposing.read == 2, "it began again"
    assert [one.title for one in (await carla.ask(ListNotifications())).items] == ["Title 1"]


async def test_what_was_deleted_says_nothing_any_more_and_does_not_come_back(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    eve, _ = await branches.person("eve")
    service = branches.here.process.context()
    await service.ask(told(carla, "1"))
    (mine,) = (await carla.ask(ListNotifications())).items
    delete = DeleteNotification(notification_id=mine.id)
    assert await raised(eve, delete) == "not_found"
    assert await raised(carla, delete) == "done"
    assert await raised(carla, delete) == "not_found"
    assert await raised(carla, MarkRead(notification_id=mine.id)) == "not_found"
    await service.ask(told(carla, "1"))
    assert (await carla.ask(ListNotifications())).items == ()
    assert (await carla.ask(CountUnread())).unread == 0
    row = await mongo.collection("notifications").find_one({"_id": mine.id})
    assert row is not None
    assert (row["title"], row["body"], row["subject"]) == ("", "", {})


async def test_numbers_follow_each_other_without_gaps_whoever_tells(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    services = [branches.here.process.context(), branches.there.process.context()]
    tells = [(service, told(carla, str(number))) for number in range(20) for service in services]
    assert await all_at_once(tells) == {"done": 40}
    rows = await mongo.collection("notifications").find({"user_id": carla.user_id}).to_list(100)
    assert sorted(row["seq"] for row in rows) == list(range(1, 21))
