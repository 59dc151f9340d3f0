"""What each person has set for themselves."""

from promptforge.actors.users.settings.actor import SettingsActor

__all__ = ["SettingsActor"]
