"""The list of kinds: everything that is told is in it, and what somebody chose is what counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptforge.actors.notifications.kinds import KINDS, kind_of
from promptforge.actors.notifications.preferences.domain import carries, email_of, view_of, with_choices
from promptforge.actors.notifications.preferences.messages import Channel, ChannelChoice
from promptforge.core.errors import Invalid

ACTORS = Path(__file__).resolve().parents[3] / "actors"
_KIND = re.compile(r'"([a-z]+\.[a-z_]+)"')
_OF_OTHERS = re.compile(r'(?:audit|reach|debug|info|warning|error|exception)\(\s*"[a-z._]+"')
"""Names of deeds in the audit log, of failpoints and of lines in the log."""


def test_every_kind_that_some_feature_tells_is_in_the_list() -> None:
    """By their text: files that make a `NotifyUser`, and names of two words with a dot in between."""
    senders = [path for path in ACTORS.rglob("*.py") if "NotifyUser(" in path.read_text()]
    assert len(senders) >= 4
    told = {name for path in senders for name in _KIND.findall(_OF_OTHERS.sub("", path.read_text()))}
    assert told - KINDS.keys() - {"user.reinstated"} == set()  # another deed
    assert len(told) >= 25


def test_what_is_about_money_or_a_decision_cannot_be_hidden() -> None:
    for name in ("payout.held", "connect.bank_details", "credits.owed", "listing.rejected", "review.removed"):
        with pytest.raises(Invalid) as refused:
            with_choices({}, {name: ChannelChoice(in_app=False)})
        assert [(error.code, error.pointer) for error in refused.value.errors] == [
            ("mandatory_channel", f"/notifications/{name}/in_app")
        ]
        assert carries(Channel.IN_APP, KINDS[name], {(name, Channel.IN_APP): False}), "not even where it was stored"


def test_everything_that_is_wrong_with_choices_is_told_at_once() -> None:
    choices = {"no.such~kind/x": ChannelChoice(email=True), "payout.sent": ChannelChoice(in_app=False, email=False)}
    with pytest.raises(Invalid) as refused:
        with_choices({}, choices)
    assert [(error.code, error.pointer) for error in refused.value.errors] == [
        ("unknown_kind", "/notifications/no.such~0kind~1x"),
        ("mandatory_channel", "/notifications/payout.sent/in_app"),
    ]


def test_only_what_is_chosen_changes() -> None:
    before = with_choices({}, {"listing.sold": ChannelChoice(email=False)})
    after = with_choices(before, {"listing.sold": ChannelChoice(in_app=False), "payout.sent": ChannelChoice()})
    kinds = {one.kind: one for one in view_of(after, email_of(None, None, configured=True)).kinds}
    assert list(kinds) == list(KINDS)
    sold, payout = kinds["listing.sold"], kinds["payout.sent"]
    assert (sold.in_app, sold.email, sold.webhook) == (False, False, True)
    assert (payout.in_app, payout.email, payout.webhook, payout.mandatory) == (True, True, True, True)


def test_a_kind_of_another_version_is_shown_and_not_mailed() -> None:
    kind = kind_of("of.tomorrow")
    chosen = {("of.tomorrow", Channel.IN_APP): False}
    assert [carries(channel, kind, chosen) for channel in Channel] == [True, False, True]
