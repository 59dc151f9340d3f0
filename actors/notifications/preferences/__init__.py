"""Which channels carry what, as each person has chosen."""

from promptforge.actors.notifications.preferences.actor import PreferencesActor

__all__ = ["PreferencesActor"]
