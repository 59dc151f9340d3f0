"""The features of the market on a real MongoDB, with people who have credits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.messages import GrantCredits
from promptforge.actors.marketplace.messages import (
    Category,
    CreateListing,
    Decision,
    ListingView,
    PurchaseListing,
    PurchaseView,
    SubmitListing,
)
from promptforge.actors.moderation.messages import CaseView, ClaimCase, DecideCase, ListCases, ReasonCode, Verdict
from promptforge.actors.notifications.kinds import KINDS
from promptforge.actors.notifications.messages import ListNotifications, NotificationView
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion, PromptView
from promptforge.actors.users.messages import EnsureUser
from promptforge.core.amounts import MILLI
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Message
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from tests.support.payments import write_papers
from tests.support.processes import UNHURRIED_SECONDS, TestProcess


@dataclass(frozen=True, slots=True)
class Market:
    """What the tests do with it."""

    process: TestProcess

    async def person(self, uid: str, *roles: Role) -> Context:
        """A context of a signed-in person, as the edge makes it."""
        system = self.process.system
        root = system.context(request_id="sign-in", trusted=True)
        identity = await root.ask(
            EnsureUser(uid=uid, email=None, name=uid, roles=(Role.USER, *roles), as_of=time.time())
        )
        principal = Principal(identity.user_id, uid, frozenset(identity.roles))
        return system.context(request_id=f"req_{uid}", principal=principal, timeout_seconds=UNHURRIED_SECONDS)

    async def fund(self, person: Context, credits: int) -> None:
        """Give somebody credits as an opening balance would: one grant with its journal."""
        admin = await self.person("admin", Role.ADMIN)
        await admin.ask(GrantCredits(user_id=person.user_id, amount=str(credits), reason="for the test"))

    async def prompt(self, seller: Context, name: str, content: str = "Say {{word}}.") -> PromptView:
        prompt = await seller.ask(CreatePrompt(name=name))
        await seller.ask(CreateVersion(prompt_id=prompt.id, content=content))
        return prompt

    async def draft(self, seller: Context, name: str, *, price: str = "10") -> ListingView:
        return await self.drafted(seller, await self.prompt(seller, name), name, price=price)

    async def drafted(self, seller: Context, prompt: PromptView, name: str, *, price: str = "10") -> ListingView:
        return await seller.ask(
            CreateListing(
                prompt_id=prompt.id,
                version=1,
                title=name,
                summary="A summary",
                description="A description",
                category=Category.WRITING,
                price=price,
            )
        )

    async def case_of(self, moderator: Context, listing: ListingView) -> str:
        """The open case of a listing, once its job has run."""
        await self.jobs_done()
        cases = await moderator.ask(ListCases(limit=100))
        return next(case.id for case in cases.items if case.listing_id == listing.id)

    async def published(self, seller: Context, name: str, *, price: str = "10") -> ListingView:
        return await self.approved(seller, await self.draft(seller, name, price=price))

    async def approved(self, seller: Context, listing: ListingView) -> ListingView:
        listing = await seller.ask(SubmitListing(listing_id=listing.id))
        moderator = await self.person("moderator", Role.MODERATOR)
        await judge(moderator, await self.case_of(moderator, listing))
        return listing

    async def buy(self, buyer: Context, listing: ListingView, price: str = "10") -> PurchaseView:
        return await buyer.ask(PurchaseListing(listing_id=listing.id, expected_price=price))

    async def notices(self, person: Context) -> list[NotificationView]:
        await self.jobs_done()
        told = list((await person.ask(ListNotifications(limit=100))).items)
        for one in told:
            reasoned = one.kind in KINDS and KINDS[one.kind].reasoned  # tests have kinds of their own
            assert not reasoned or one.subject.get("reason_code"), f"{one.kind} says no reason"
        return told

    async def jobs_done(self) -> None:
        """Run every job that is due, here and now."""
        await self.process.runner.drain()


async def judge(moderator: Context, case_id: str, kind: Decision | Verdict = Decision.APPROVE) -> CaseView:
    """Claim the case and decide it."""
    await moderator.ask(ClaimCase(case_id=case_id))
    return await moderator.ask(decision(case_id, kind))


_REASONS = {
    Verdict.APPROVE: ReasonCode.MEETS_GUIDELINES,
    Verdict.REQUEST_CHANGES: ReasonCode.TOO_VAGUE,
    Verdict.REJECT: ReasonCode.MISLEADING,
    Verdict.SUSPEND: ReasonCode.COPIED,
    Verdict.LIFT: ReasonCode.MISTAKEN,
    Verdict.DISMISS: ReasonCode.UNFOUNDED,
    Verdict.REFUND: ReasonCode.DOES_NOT_WORK,
    Verdict.REMOVE: ReasonCode.OFF_TOPIC,
    Verdict.RESTORE: ReasonCode.MISTAKEN,
    Verdict.COMPENSATE: ReasonCode.MISTAKEN,
}


def decision(case_id: str, kind: Decision | Verdict = Decision.APPROVE) -> DecideCase:
    verdict = Verdict(kind)
    return DecideCase(case_id=case_id, decision=verdict, reason_code=_REASONS[verdict], public_note="Because.")


async def raised(person: Context, message: Message[Any]) -> str:
    """The code of the error that an ask ends with; `done` where it does not."""
    try:
        await person.ask(message)
    except PromptForgeError as error:
        return error.code
    return "done"


async def top_up(mongo: Mongo, person: Context, credits: int) -> None:
    """Credits that somebody has paid for: what is bought with a gift does not count."""
    ledger = Ledger(mongo)
    journal = topup_journal(f"cs_{person.user_id}", user_id=person.user_id, amount=credits * MILLI, refs={})

    async def work(tx: Context) -> None:
        if await ledger.open(tx).post(journal):
            await write_papers(mongo, journal, tx)

    await person.transaction(work)
