"""What partnerships refuse."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden, Unauthenticated


class PartnershipExists(Conflict):
    code = "partnership_exists"
    title = "You have an application or a partnership already"


class ApplyLater(Conflict):
    """`extra` has `apply_again_at`, and `partner_id` where it is the asker's own that they wait after."""

    code = "apply_later"
    title = "Your last partnership ended a short while ago: apply again later"


class IllegalMove(Conflict):
    """`extra` has the state, and what is possible in it."""

    code = "illegal_move"
    title = "This is not possible in the state of the partnership"


class PartnershipChanged(Conflict):
    """`extra` has the state and the version, and what is possible now."""

    code = "partnership_changed"
    title = "Somebody has decided, or changed it, since you read it"


class AppealedAlready(Conflict):
    code = "appealed_already"
    title = "You have appealed against this decision already"


class OwnPartnership(Forbidden):
    code = "own_partnership"
    title = "Nobody decides about their own partnership, nor about that of an account they share a card or a bank with"


class OwnSuspension(Forbidden):
    code = "own_suspension"
    title = "An appeal is decided by another administrator than the one who suspended"


class OwnForfeiture(Forbidden):
    code = "own_decision"
    title = "An appeal is decided by another administrator than the one who decided what it is against"


class NobodyToAnswer(Conflict):
    code = "nothing_to_appeal"
    title = "The account of whoever appealed is closed"


class NotAPartner(Conflict):
    code = "not_a_partner"
    title = "The partnership is not approved (any more)"


class TooManyApps(Conflict):
    code = "too_many_apps"
    title = "The partnership has as many apps as one may have"


class WrongCredentials(Unauthenticated):
    code = "wrong_credentials"
    title = "There is no app with this id and secret"


class TokenNotYours(Forbidden):
    code = "token_not_yours"
    title = "The token is another app's"


class AppStopped(Forbidden):
    code = "app_stopped"
    title = "The partnership of this app, or the account behind it, is suspended or has ended"


class ScopeNotGranted(Forbidden):
    code = "scope_not_granted"
    title = "The app does not have a scope that it asks for"
