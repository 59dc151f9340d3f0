"""Moderation of what is put on the market."""

from promptforge.actors.moderation.actor import ModerationActor
from promptforge.actors.moderation.messages import DecideCase, GetCase, ListCases, OpenCase

__all__ = ["DecideCase", "GetCase", "ListCases", "ModerationActor", "OpenCase"]
