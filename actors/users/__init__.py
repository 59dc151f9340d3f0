"""People: sign-in identities, profiles and API keys."""

from promptforge.actors.users.actor import UsersActor
from promptforge.actors.users.keys.actor import ApiKeysActor
from promptforge.actors.users.messages import EnsureUser, GetIdentity, GetMe, GetPublicProfile, UpdateProfile
from promptforge.actors.users.roles.actor import RolesActor
from promptforge.actors.users.roles.mirroring import RoleMirrorActor
from promptforge.actors.users.settings.actor import SettingsActor
from promptforge.actors.users.staff.actor import PeopleActor

__all__ = [
    "ApiKeysActor",
    "EnsureUser",
    "GetIdentity",
    "GetMe",
    "GetPublicProfile",
    "PeopleActor",
    "RoleMirrorActor",
    "RolesActor",
    "SettingsActor",
    "UpdateProfile",
    "UsersActor",
]
