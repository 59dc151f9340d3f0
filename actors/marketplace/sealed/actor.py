"""Runs sealed prompts: reserved, run, checked, and only then shown and paid for.

Beginning is one transaction (the reservation, the purchase's use or the trial), ending is another one (what the output
gave away, the charge, a case). A run that dies in between is released by the models' sweeper. Texts are kept nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta

import anyio
import structlog

from promptforge.actors.ai.messages import (
    BeginRun,
    RunMessage,
    RunModel,
    RunResult,
    RunSettings,
    RunUsage,
    SellersShare,
    SettleRun,
)
from promptforge.actors.billing.ledger.messages import credits_turn
from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.errors import NotRunnable
from promptforge.actors.marketplace.rulings.domain import Why, made
from promptforge.actors.marketplace.sealed.checking import Checking
from promptforge.actors.marketplace.sealed.grounds import Ground, Grounds
from promptforge.actors.marketplace.sealed.matching import NOTHING as NOTHING_COPIED
from promptforge.actors.marketplace.sealed.matching import (
    Limits,
    Match,
    Sealed,
    is_guessed,
    is_much,
    is_trace,
    is_withheld,
    joined,
)
from promptforge.actors.marketplace.sealed.messages import (
    DecideSuspicion,
    GetRunOffer,
    RunGround,
    RunListing,
    RunOfferView,
    SealedRunView,
    WithheldBecause,
    WithheldView,
)
from promptforge.actors.marketplace.sealed.rulings import RunsRuling, RunsRulingStore
from promptforge.actors.marketplace.sealed.runs import (
    messages_of,
    own_texts,
    refuse_unknown,
    settings_of,
    variables_told,
)
from promptforge.actors.marketplace.sealed.store import Account, AccountStore
from promptforge.actors.marketplace.sealed.telling import case_of, decided_notices, grant_of, stopped_notice
from promptforge.actors.marketplace.sealed.terms import terms_from
from promptforge.actors.prompts.rendering.messages import FillIn, ReadSealedPrompt, SealedPrompt
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import NotFound, PromptForgeError
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles
from promptforge.core.streams import Delta, ReplyStream

log = structlog.get_logger(__name__)

PURPOSES = {RunGround.PURCHASE: "sealed", RunGround.TRIAL: "sealed.trial", RunGround.OWN: "sealed.own"}
MATCHES_TO_STOP = 5
WHOLE_SECONDS = 300.0
CLOSE_SECONDS = 30.0
NOTHING = RunUsage(0, 0, estimated=True, cost_microusd=0, credits="0", latency_ms=0, first_token_ms=None)
WORDS = {
    WithheldBecause.COPIES_SEALED_TEXT: (
        "The output has more of the sealed prompt in it than may be shown, as it is or in disguise. You paid what the "
        "model cost, and no share."
    ),
    WithheldBecause.CANNOT_BE_CHECKED: (
        "The output has so many encodings within encodings that it could not be checked for the sealed prompt. You "
        "paid what the model cost, and no share."
    ),
    WithheldBecause.ADDS_UP: (
        "Together with earlier outputs, of yours or of accounts linked to yours, this would show more of the sealed "
        "prompt than may be shown. You paid what the model cost, and no share."
    ),
}


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run that is reserved. `settings` and `messages` are what the model is asked with."""

    id: str
    ground: Ground
    prompt: SealedPrompt
    messages: tuple[RunMessage, ...]
    settings: RunSettings
    own_texts: tuple[str, ...]

    @property
    def sealed_name(self) -> tuple[str, int]:
        return self.ground.listing.prompt_id, self.ground.version


@dataclass(frozen=True, slots=True)
class _Compared:
    """What an output gives away of a text, which is there where anything of it can be."""

    match: Match
    sealed: Sealed | None = None


class SealedRunsActor(Actor):
    """`appeal_for`: how long it can be appealed that somebody's runs were stopped for good."""

    name = "sealed"
    asks = ("billing", "rendering", "models", "purchases", "users")

    def __init__(
        self,
        grounds: Grounds,
        accounts: AccountStore,
        limits: Limits,
        rulings: RunsRulingStore,
        *,
        appeal_for: timedelta,
    ) -> None:
        self._rulings = rulings
        self._appeal_for = appeal_for
        self._grounds = grounds
        self._listings, self._purchases = grounds.listings, grounds.purchases
        self._accounts = accounts
        self._limits = limits
        self._checking = Checking()

    @handles(GetRunOffer)
    async def get_offer(self, message: GetRunOffer, context: Context) -> RunOfferView:
        async def work(tx: Context) -> tuple[Ground, SealedPrompt]:
            ground = await self._grounds.find(message.listing_id, tx)
            return ground, await _prompt(ground, tx)

        ground, prompt = await context.transaction(work)
        return RunOfferView(
            listing_id=ground.listing.id,
            version=ground.version,
            ground=ground.right,
            terms=terms_from(ground.terms),
            variables=variables_told(prompt),
            trials_left=ground.trials_left,
        )

    @handles(RunListing)
    async def run_listing(self, message: RunListing, context: Context) -> ReplyStream[SealedRunView]:
        return ReplyStream(self._carry_out(message, context))

    async def _carry_out(self, message: RunListing, context: Context) -> AsyncGenerator[Delta | SealedRunView, None]:
        """The one item is the reply: nothing of an output is shown before all of it was checked."""
        context = context.outliving(WHOLE_SECONDS)
        run_id = new_id("run")
        with anyio.CancelScope(shield=True):  # either it is written down and we know it, or it is not
            run = await context.transaction(
                lambda tx: self._begin(message, run_id, tx), turn=credits_turn(context.user_id)
            )
        reach("sealed.begun")
        failed: str | None = "internal_error"
        try:
            result = await context.ask(
                RunModel(
                    purpose=_purpose(run.ground),
                    messages=run.messages,
                    settings=run.settings,
                    prompt_id=run.ground.listing.prompt_id,
                    prompt_version=run.ground.version,
                    run_id=run_id,
                    settle=False,
                )
            )
            compared = await self._compared(run, result.text)
            with anyio.CancelScope(shield=True):
                view = await context.transaction(
                    lambda tx: self._end(run, result, compared, tx), turn=credits_turn(context.user_id)
                )
            failed = None
        except PromptForgeError as error:
            failed = error.code
            raise
        except (GeneratorExit, anyio.get_cancelled_exc_class()):
            failed = "cancelled"  # nobody wants it any more
            raise
        finally:
            if failed is not None:
                await self._give_up(run_id, failed, context)
        yield view

    async def _give_up(self, run_id: str, failed: str, context: Context) -> None:
        """Release what a run holds that has shown nothing, and what it used of a purchase; the sweeper does what fails.

        Where a run is closed already, the model that failed did it, the sweeper, or an end of which nobody heard.
        """
        context = context.outliving(CLOSE_SECONDS)
        closing = SettleRun(run_id=run_id, usage=NOTHING, error_code=failed)
        with anyio.CancelScope(shield=True):
            try:
                await context.transaction(lambda tx: tx.ask(closing), turn=credits_turn(context.user_id))
            except PromptForgeError as error:
                if error.code != "run_closed":
                    log.warning("sealed.not_given_up", run_id=run_id, error=error.code)

    async def _begin(self, message: RunListing, run_id: str, tx: Context) -> _Begun:
        """Without credits, or with variables that are not right, nothing is used up."""
        ground = await self._grounds.take(message.listing_id, tx)
        prompt = await _prompt(ground, tx)
        refuse_unknown(prompt, message.variables)
        filled = FillIn(content=prompt.content, declared=prompt.variables, values=message.variables)
        messages, settings = messages_of(await tx.ask(filled)), settings_of(prompt, ground.terms)
        await tx.ask(
            BeginRun(
                purpose=_purpose(ground),
                messages=messages,
                run_id=run_id,
                settings=settings,
                prompt_id=ground.listing.prompt_id,
                prompt_version=ground.version,
                max_millicredits=None if message.max_credits is None else to_millicredits(message.max_credits),
                share=SellersShare(ground.listing.seller_id, ground.share, ground.listing.id) if ground.share else None,
                trial_of=ground.listing.id if ground.right is RunGround.TRIAL else None,
                purchase_id=ground.purchase_id,
            )
        )
        return _Begun(run_id, ground, prompt, messages, settings, tuple(own_texts(message.variables)))

    async def _compared(self, run: _Begun, output: str) -> _Compared:
        if run.ground.right is RunGround.OWN:
            return _Compared(NOTHING_COPIED)
        sealed = await self._checking.prepared(run.sealed_name, run.prompt.pieces)
        return _Compared(await self._checking.compared(sealed, output, run.own_texts), sealed)

    async def _other_version(self, prompt_id: str, version: int, tx: Context) -> Sealed:
        prepared = self._checking.find((prompt_id, version))
        if prepared is None:
            read = await tx.ask(ReadSealedPrompt(prompt_id=prompt_id, version=version))
            prepared = await self._checking.prepared((prompt_id, version), read.pieces)
        return prepared

    async def _end(self, run: _Begun, result: RunResult, compared: _Compared, tx: Context) -> SealedRunView:
        withheld = await self._judged(run, compared, tx)
        earned = withheld is None and run.ground.share > 0
        unclaimed = earned and await self._grounds.is_unclaimed(run.ground, tx)
        usage = await tx.ask(SettleRun(run_id=run.id, usage=result.usage, earned=earned, unclaimed=unclaimed))
        reach("sealed.before_commit")
        ground = run.ground
        trials_left = ground.trials_left - 1 if ground.right is RunGround.TRIAL else None
        return SealedRunView(
            run_id=run.id,
            listing_id=ground.listing.id,
            ground=ground.right or RunGround.OWN,
            purchase_id=ground.purchase_id,
            version=ground.version,
            model=result.model,
            tiny=result.tiny,
            output=result.text if withheld is None else None,
            withheld=None if withheld is None else WithheldView(withheld, WORDS[withheld]),
            finish_reason=result.finish_reason,
            usage=usage,
            share=from_millicredits(ground.share if earned else 0),
            trials_left=trials_left,
        )

    async def _judged(self, run: _Begun, compared: _Compared, tx: Context) -> WithheldBecause | None:
        """What the output gives away is counted; why it is not shown, None where it is.

        All who count together write one document: of two who do it at the same moment, one sees the other. A piece that
        is too small for a trace is remembered too: many of them add up. What was shown before is shown again. Who sent
        a long copy themselves is counted: it is how one tries a guess.
        """
        match, sealed = compared.match, compared.sealed
        if sealed is None or (not (match.letters or match.excused) and match.all_read):
            return None
        limits, ground = self._limits, run.ground
        prompt_id, head = ground.listing.prompt_id, ground.group[0]
        account = await self._accounts.get(prompt_id, ground.group, session=tx.session)
        before = await self._shown_before(run, sealed, account, tx)
        together = joined(before, match.blocks)
        too_much, more = is_withheld(sealed, match, limits), together != before
        trace = is_trace(match, limits) or is_guessed(match, limits)
        withheld = _why(match) if too_much else None
        if not too_much and any(before) and more and is_much(together, sealed, limits):
            withheld = WithheldBecause.ADDS_UP
        if not too_much and trace and (account.stopped_at or account.barred):
            withheld = WithheldBecause.ADDS_UP
        if withheld is None and more:
            await self._accounts.add_shown(prompt_id, head, ground.version, together, session=tx.session)
        if withheld is not None or trace:
            await self._count(run, account, tx)
        return withheld

    async def _shown_before(self, run: _Begun, sealed: Sealed, account: Account, tx: Context) -> bytes:
        """Of the version that is run: what of it was shown, also by what another version shares with it."""
        copied, own = account.copied_by_version(), run.ground.version
        shown = [copied.pop(own, b"")]
        for version, blocks in copied.items():
            try:
                earlier = await self._other_version(run.ground.listing.prompt_id, version, tx)
            except NotFound:  # nor can anybody run it
                continue
            shown.append(sealed.blocks_from(earlier, blocks))
        return joined(*shown)

    async def _count(self, run: _Begun, account: Account, tx: Context) -> None:
        ground = run.ground
        prompt_id, head = ground.listing.prompt_id, ground.group[0]
        await self._accounts.add_match(prompt_id, head, tx.user_id, session=tx.session)
        if account.matches + 1 < MATCHES_TO_STOP or account.stopped_at is not None or account.barred:
            return
        await self._accounts.stop(prompt_id, head, now=tx.now(), session=tx.session)
        await tx.enqueue(case_of(ground, tx.user_id, account.matches + 1), unique=f"extraction:{run.id}")
        holding = await self._purchases.list_runs(prompt_id, ground.group, session=tx.session)
        for user_id in sorted({tx.user_id, *account.people, *(one.buyer_id for one in holding)}):
            await tx.enqueue(stopped_notice(ground, user_id, run.id), owner_id=user_id)

    @handles(DecideSuspicion, atomic=True)
    async def decide_suspicion(self, message: DecideSuspicion, context: Context) -> None:
        """Linked accounts are one: what was upheld about one of them takes their purchases from all."""
        group = await context.ask(GetAccountGroup(user_id=message.subject))
        listing = await self._listings.get(message.listing_id, session=context.session)
        account = await self._accounts.get(listing.prompt_id, group, session=context.session)
        barred_by = message.case_id if message.upheld else None
        await self._accounts.let_go(listing.prompt_id, group, barred_by=barred_by, session=context.session)
        holding = await self._purchases.list_runs(listing.prompt_id, group, session=context.session)
        people = sorted({*account.people, *(one.buyer_id for one in holding)})
        until = None
        if message.upheld:
            until = context.now() + self._appeal_for
            why = Why(message.case_id, message.reason_code, message.public_note)
            ruling = made(why, context.now(), appeal_until=until)
            kept = RunsRuling(message.case_id, listing.id, listing.prompt_id, message.subject, tuple(people), ruling)
            await self._rulings.insert(kept, now=context.now(), session=context.session)
            for purchase in holding:
                await context.ask(grant_of(purchase.id, message))
        for notice in decided_notices(message, people, appeal_until=until):
            await context.enqueue(notice, owner_id=notice.user_id)


async def _prompt(ground: Ground, tx: Context) -> SealedPrompt:
    """What is wrong with the text says things about it: it is not told."""
    try:
        return await tx.ask(ReadSealedPrompt(prompt_id=ground.listing.prompt_id, version=ground.version))
    except PromptForgeError as error:
        if error.retryable:
            raise
        raise NotRunnable("What it is made of cannot be read any more") from None


def _why(match: Match) -> WithheldBecause:
    return WithheldBecause.COPIES_SEALED_TEXT if match.letters else WithheldBecause.CANNOT_BE_CHECKED


def _purpose(ground: Ground) -> str:
    return PURPOSES[ground.right or RunGround.OWN]
