"""People: sign-in identities and profiles."""

from promptforge.actors.users.actor import UsersActor
from promptforge.actors.users.messages import EnsureUser, GetIdentity, GetMe, GetPublicProfile, UpdateProfile

__all__ = ["EnsureUser", "GetIdentity", "GetMe", "GetPublicProfile", "UpdateProfile", "UsersActor"]
