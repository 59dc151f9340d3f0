"""Why somebody is nobody's referral, or a code is none."""

from __future__ import annotations

from typing import ClassVar

from promptforge.core.errors import Conflict, PromptForgeError


class CodeTaken(Conflict):
    code = "code_taken"
    title = "Somebody has this code, or one that looks like it, or had it"


class TooManyCodes(Conflict):
    code = "too_many_codes"
    title = "You have as many codes as a partner can have; deactivate one"


class NotAReferral(PromptForgeError):
    code = "not_a_referral"
    status = 422
    title = "This was not given away by a link of this service, or it was changed"


class ReferralExpired(Conflict):
    code = "referral_expired"
    title = "The link was followed more than 30 days ago"


class NobodysReferral(Conflict):
    """Why a touch brings somebody to nobody; of several that is told which says the most of who hands them in."""

    telling: ClassVar[int] = 0


class ReferralNotActive(NobodysReferral):
    code = "referral_not_active"
    title = "This link brings nobody any more"


class SelfReferral(NobodysReferral):
    telling = 1
    code = "self_referral"
    title = "Nobody refers themselves, nor an account that shares a card or a bank account with theirs"


class AlreadyReferred(NobodysReferral):
    telling = 3
    code = "already_referred"
    title = "Another account with your card or bank account came by a link already: nobody is brought twice"


class CircularReferral(NobodysReferral):
    telling = 2
    code = "circular_referral"
    title = "This partner came by a link of yours, or of somebody whom you brought"
