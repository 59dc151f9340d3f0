"""Every kind of notification: its stable name, what it is, and which channels carry it unless somebody chose otherwise.

A mandatory kind is always shown in the service itself: it is about money, security or a decision on what is one's own.
In the service and to webhooks everything goes by default; by email, what should not wait until somebody looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from promptforge.actors.notifications.preferences.messages import Channel


@dataclass(frozen=True, slots=True)
class Kind:
    """`email`: whether it goes by email by default. `never_mailed`: not at all, whatever somebody chose.

    `reasoned`: something was decided against somebody, or is kept from them, and `subject` has the `reason_code`.
    """

    name: str
    title: str
    mandatory: bool = False
    email: bool = False
    never_mailed: bool = False
    known: bool = True
    reasoned: bool = False

    def by_default(self, channel: Channel) -> bool:
        return self.email if channel is Channel.EMAIL else True


def _important(name: str, title: str) -> Kind:
    return Kind(name, title, mandatory=True, email=True)


def _reasoned(name: str, title: str) -> Kind:
    return Kind(name, title, mandatory=True, email=True, reasoned=True)


_ALL = (
    # Credits and money
    Kind("credits.granted", "Credits are yours", mandatory=True),
    _important("credits.expiring", "Credits expire soon"),
    Kind("credits.expired", "Credits have expired", mandatory=True),
    _reasoned("credits.taken_back", "Credits were taken back"),
    Kind("credits.given_back", "Credits are yours again", mandatory=True),
    _reasoned("credits.owed", "You owe credits"),
    _reasoned("credits.frozen", "Credits are frozen"),
    Kind("credits.thawed", "Credits can be spent again", mandatory=True),
    _important("subscription.payment_failed", "A subscription could not be paid"),
    _reasoned("connect.bank_details", "Your bank details have changed"),
    _important("payout.sent", "A payout is on its way"),
    _reasoned("payout.returned", "A payout was refused"),
    _reasoned("payout.reversed", "A payout was reversed"),
    _reasoned("payout.held", "A payout is on hold"),
    _reasoned("payout.waiting", "A payout waits"),
    _important("account.deletion", "Your account will be deleted"),
    _important("account.export", "The export of your data is ready"),
    _reasoned("account.suspended", "Your account is suspended"),
    _reasoned("account.upheld", "Your account stays suspended"),
    _important("account.reinstated", "Your account is not suspended any more"),
    _important("account.appealed", "Somebody appeals against the suspension of their account"),
    _reasoned("account.roles_changed", "Your roles have changed"),
    # What is sent elsewhere
    _important("webhook.disabled", "A webhook of yours was disabled"),
    Kind("email.bounced", "Your email address takes no mail", mandatory=True, never_mailed=True),
    # Packages
    Kind("package.published", "A package of yours was published"),
    Kind("package.failed", "A package of yours could not be built", email=True),
    _important("package.revoked", "A package was revoked"),
    # Buying and selling
    Kind("listing.sold", "A listing of yours was bought", email=True),
    Kind("purchase.completed", "You bought a listing", email=True),
    Kind("purchase.newer_version", "Something that you bought has a newer version"),
    _reasoned("sale.refunded", "A sale of yours was refunded"),
    _important("sale.compensated", "A sale of yours that was refunded was made good"),
    _reasoned("purchase.refunded", "A purchase of yours was refunded"),
    _reasoned("refund.refused", "A refund was refused"),
    Kind("refund.heard", "An appeal of the seller against your refund was heard", mandatory=True),
    _reasoned("runs.stopped", "Your runs of a listing were stopped"),
    _reasoned("runs.decided", "Your runs of a listing were looked at"),
    _reasoned("runs.suspended", "A listing that you bought runs of was suspended"),
    _important("runs.resumed", "A listing that you bought runs of is no longer suspended"),
    Kind("listing.reviewed", "A listing of yours was reviewed"),
    Kind("listing.review_restored", "A review of a listing of yours is back"),
    Kind("listing.runs_restored", "Runs of a listing of yours go on"),
    # Partnerships
    _important("partnership.applied", "Somebody applies to become a partner"),
    _important("partnership.appealed", "A partner appeals against a suspension"),
    _important("partnership.undecided", "Frozen earnings of a partner wait for a decision"),
    _important("partnership.approved", "Your application for a partnership was approved"),
    _reasoned("partnership.rejected", "Your application for a partnership was rejected"),
    _reasoned("partnership.suspended", "Your partnership is suspended"),
    _important("partnership.lifted", "Your partnership is not suspended any more"),
    _reasoned("partnership.upheld", "Your partnership stays suspended"),
    _reasoned("partnership.ended", "Your partnership has ended"),
    _reasoned("partnership.commission", "Your commission has changed"),
    _important("partnership.app_secret", "An app of yours has a new secret"),
    _reasoned("partnership.earnings_decided", "It was decided about your frozen earnings"),
    _reasoned("partnership.earnings_upheld", "Forfeited earnings of yours stay forfeited"),
    _important("partnership.earnings_restored", "Forfeited earnings of yours come back"),
    _important("partnership.earnings_appealed", "A partner appeals against a forfeiture"),
    # Decisions of moderators
    _reasoned("review.removed", "A review of yours was removed"),
    _important("review.restored", "A review of yours is back"),
    _reasoned("review.reply_removed", "A reply of yours to a review was removed"),
    _important("review.reply_restored", "A reply of yours to a review is back"),
    _important("listing.approved", "A listing of yours was approved"),
    _reasoned("listing.changes_requested", "A listing of yours needs changes"),
    _reasoned("listing.rejected", "A listing of yours was rejected"),
    _reasoned("listing.revoked", "A listing of yours sells a package that was revoked"),
    _reasoned("listing.suspended", "A listing of yours was suspended"),
    _important("listing.lifted", "A listing of yours is no longer suspended"),
    _important("change.approved", "A change of a listing was approved"),
    _reasoned("change.changes_requested", "A change of a listing needs changes"),
    _reasoned("change.rejected", "A change of a listing was rejected"),
    Kind("report.decided", "A report of yours was decided"),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}


def kind_of(name: str) -> Kind:
    """What is not in the list was told by another version of the service: it is shown, and nobody can turn that off."""
    return KINDS.get(name) or Kind(name, name, mandatory=True, known=False)
