"""What can go wrong with a profile or an API key."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden, Moved


class HandleTaken(Conflict):
    code = "handle_taken"
    title = "Somebody else has this handle"


class TooManyHandles(Conflict):
    code = "too_many_handles"
    title = "You have changed your handle as often as one may in this time"


class TooManyKeys(Conflict):
    code = "too_many_keys"
    title = "You have as many API keys as one may have"


class HandleMoved(Moved):
    code = "handle_moved"
    title = "Who had this handle has another one now"


class NotOneself(Conflict):
    code = "not_oneself"
    title = "Nobody does this to their own account"


class RolesChanged(Conflict):
    code = "roles_changed"
    title = "Somebody else has changed these roles since you saw them"


class NothingToAppeal(Conflict):
    code = "nothing_to_appeal"
    title = "There is no decision that could be appealed"


class AlreadyAppealed(Conflict):
    code = "already_appealed"
    title = "This decision was appealed before, and each can be appealed once"


class AppealWaits(Conflict):
    code = "appeal_waits"
    title = "They have appealed: decide that first"


class OwnSuspension(Forbidden):
    code = "own_suspension"
    title = "An appeal is decided by another administrator than the one who suspended"
