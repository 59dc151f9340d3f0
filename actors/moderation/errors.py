"""What can be in the way of a claim or a decision."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden


class AlreadyDecided(Conflict):
    code = "already_decided"
    title = "This case is decided already, by another moderator or in another way"


class CaseObsolete(Conflict):
    code = "case_obsolete"
    title = "The listing has moved on; there is nothing to decide any more"


class CaseClaimed(Conflict):
    code = "case_claimed"
    title = "Another moderator is working on this case"


class NotClaimed(Conflict):
    code = "not_claimed"
    title = "Claim the case first; a claim that nobody prolonged has ended"


class CopyDecided(Conflict):
    code = "copy_decided"
    title = "A copy was decided about since this was checked: look at the findings, and decide again"


class IllegalDecision(Conflict):
    code = "illegal_decision"
    title = "Cases of this kind are not decided like that"


class OwnCase(Forbidden):
    code = "own_case"
    title = "Nobody decides about their own listing, nor about that of an account they share a card or a bank with"


class InterestedParty(Forbidden):
    code = "interested_party"
    title = "Nobody decides about what they, or accounts linked to theirs, bought or brought up"


class OwnDecision(Forbidden):
    code = "own_decision"
    title = "An appeal is decided by another moderator"
