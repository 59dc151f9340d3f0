"""One run from its reservation to its end, whichever way it ends.

Credits for the estimated input and all of `max_tokens` are set aside in the transaction that writes the run down; then
the model runs; then one transaction charges for what it took, gives back the rest, writes the usage record and strikes
the run out. A failure charges nothing. Where the answer's reader leaves, or the provider tells no count, the tokens are
counted here; so they are where its asker is suspended meanwhile. A run whose process dies in between stays written
down, and is released by the sweeper. Whatever ends it, one transaction strikes it out: of two that want to, the other
one finds it gone. So what was used for it is given back once, or never where it answered.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import anyio
import structlog

from promptforge.actors.ai.errors import OverBudget, RunClosed
from promptforge.actors.ai.messages import (
    CallerKind,
    FinishReason,
    RunMessage,
    RunOutcome,
    RunResult,
    RunSettings,
    RunUsage,
    SellersShare,
    SettleRun,
    UsageRecord,
)
from promptforge.actors.ai.models.catalogue import Catalogue, Model
from promptforge.actors.ai.models.domain import Terms
from promptforge.actors.ai.models.stopping import UnderWay
from promptforge.actors.ai.models.store import OpenRun, RunStore
from promptforge.actors.ai.providers.interface import End, Prompt, Speaker, Stream, Tokens, Turn
from promptforge.actors.ai.providers.tokens import spoken_tokens
from promptforge.actors.billing.ledger.messages import CloseRun, ReserveRun, RunShare, credits_turn
from promptforge.actors.marketplace.purchases.messages import GiveBackUse
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, AccountSuspended, PromptForgeError
from promptforge.core.ids import new_id
from promptforge.core.streams import Delta

log = structlog.get_logger(__name__)

DEFAULT_MAX_TOKENS = 1024
PLATFORM = "platform"
"""Whose a run is that the platform pays: nobody's id is like this."""
HOLD_SECONDS = 600.0
"""How long a run may stay open: longer than any guard lets a provider take, and than whoever settles it later needs."""
CLOSE_SECONDS = 30.0
RELEASED_AT_ONCE = 100
NOTHING = RunUsage(0, 0, estimated=True, cost_microusd=0, credits="0", latency_ms=0, first_token_ms=None)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants run, as `RunModel` and `StreamRun` have it."""

    purpose: str
    messages: tuple[RunMessage, ...]
    settings: RunSettings
    prompt_id: str | None
    prompt_version: int | None
    run_id: str | None = None
    settle: bool = True
    budget: int | None = None
    """Millicredits."""
    share: SellersShare | None = None
    trial_of: str | None = None
    purchase_id: str | None = None
    for_platform: bool = False


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended and what it took; `code` is that of the error, where there was one."""

    usage: RunUsage
    outcome: RunOutcome = RunOutcome.OK
    code: str | None = None
    earned: bool = False
    unclaimed: bool = False


@dataclass(slots=True)
class _Meter:
    """What is measured while the model speaks; seconds on the system's clock."""

    model: Model
    prompt: Prompt
    started: float
    asked: bool = False
    first: float | None = None
    parts: list[str] = field(default_factory=list)
    end: End | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def finish(self) -> FinishReason:
        return FinishReason.STOP if self.end is None else FinishReason(self.end.finish.value)

    def begin(self) -> None:
        """The provider is asked now: from here on there are tokens to pay for."""
        self.asked = True

    def usage(self, terms: Terms, now: float) -> RunUsage:
        """What the run took until `now`; what it is charged is known once it is closed."""
        tokens = self.end.tokens if self.end is not None else None
        estimated = tokens is None
        if tokens is None:
            spoken = min(spoken_tokens(self.text), self.prompt.max_tokens)
            tokens = Tokens(self.model.provider.count_tokens(self.prompt.turns), spoken)
        return RunUsage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            estimated=estimated,
            cost_microusd=terms.price.of(tokens.input, tokens.output).microusd,
            credits="0",
            latency_ms=_milliseconds(now - self.started),
            first_token_ms=None if self.first is None else _milliseconds(self.first - self.started),
        )


class Runs:
    def __init__(self, store: RunStore, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self.under_way = UnderWay()

    async def carry_out(
        self, order: Order, context: Context, *, whole: bool
    ) -> AsyncGenerator[Delta | RunResult, None]:
        """The answer, and then the result; `whole`: in one piece."""
        context = context.outliving(HOLD_SECONDS)
        model = self._catalogue.find(order.settings.model)
        prompt = _prompt(order, model)
        with anyio.CancelScope(shield=True):  # either it is written down and we know it, or it is not
            opened = self._opened(order, model, prompt, context)
            turn = credits_turn(opened.user_id)
            known = order.run_id is not None
            run = await context.transaction(lambda tx: self._write_down(opened, tx, known=known), turn=turn)
        monotonic = context.system.monotonic
        meter = _Meter(model, prompt, monotonic())
        ended: _Ending | None = _Ending(NOTHING, RunOutcome.FAILED, "internal_error")
        try:
            with self.under_way.going(run.user_id) as going:
                async with aclosing(_answer(meter, whole=whole)) as items:
                    while not isinstance(item := await going.next(items), End):
                        meter.first = meter.first or monotonic()
                        meter.parts.append(item.text)
                        yield item
                    meter.end = item
            usage = meter.usage(run.terms, monotonic())
            if whole:
                usage = replace(usage, first_token_ms=None)
            if order.settle:
                with anyio.CancelScope(shield=True):
                    usage = await self._settle(run, usage, context)
            else:
                usage = replace(usage, credits=from_millicredits(run.charge(usage)))
            ended = None
        except AccountSuspended as error:
            # What is left open for its caller has shown nothing: nobody pays for it.
            taken = _taken(run, meter, monotonic()) if order.settle else NOTHING
            ended = _Ending(taken, RunOutcome.CANCELLED, error.code)
            raise
        except PromptForgeError as error:
            ended = _Ending(NOTHING, RunOutcome.FAILED, error.code)
            raise
        except (GeneratorExit, anyio.get_cancelled_exc_class()):
            if order.run_id is not None and not order.settle:
                ended = None  # its caller comes back for it, or closes it
            else:
                ended = _Ending(_taken(run, meter, monotonic()), RunOutcome.CANCELLED, "cancelled")
            raise
        finally:
            if ended is not None:
                await self._close_anyway(run, ended, context)
        yield RunResult(run.id, run.model, model.tiny, meter.text, meter.finish, usage)

    # Beginning

    async def begin(self, order: Order, tx: Context) -> int:
        """Write a run down, in the asker's transaction, for whoever carries it out later; answers what is held."""
        model = self._catalogue.find(order.settings.model)
        run = await self._write_down(self._opened(order, model, _prompt(order, model), tx), tx, known=True)
        return run.held

    def _opened(self, order: Order, model: Model, prompt: Prompt, context: Context) -> OpenRun:
        terms = self._catalogue.terms(model)
        most = terms.charge(model.provider.count_tokens(prompt.turns), prompt.max_tokens)
        run = OpenRun(
            id=order.run_id or new_id("run"),
            user_id=PLATFORM if order.for_platform else context.user_id,
            purpose=order.purpose,
            caller=_caller(context),
            model=model.name,
            provider=model.provider.name,
            terms=terms,
            held=most + (order.share.gross_millicredits if order.share is not None else 0),
            prompt_id=order.prompt_id,
            prompt_version=order.prompt_version,
            started_at=context.now(),
            share=order.share,
            trial_of=order.trial_of,
            purchase_id=order.purchase_id,
        )
        if order.budget is not None and run.held > order.budget:
            held, wanted = from_millicredits(run.held), from_millicredits(order.budget)
            raise OverBudget(f"This may cost up to {held} credits, and you want to spend {wanted} at most")
        return run

    async def _write_down(self, run: OpenRun, tx: Context, *, known: bool) -> OpenRun:
        expires_at = tx.now() + timedelta(seconds=HOLD_SECONDS)
        if known:  # the caller's id: this may be the second time
            if await self._store.has_usage(run.id, session=tx.session):
                raise RunClosed
            begun = await self._store.find(run.id, session=tx.session)
            if begun is not None:
                await self._store.prolong(run.id, expires_at=expires_at, session=tx.session)
                return begun
        if run.held:
            await tx.ask(
                ReserveRun(
                    run_id=run.id,
                    user_id=run.user_id,
                    amount_millicredits=run.held,
                    trial_of=run.trial_of,
                    for_platform=run.user_id == PLATFORM,
                )
            )
        await self._store.insert(run, expires_at=expires_at, session=tx.session)
        return run

    # Ending

    async def _settle(self, run: OpenRun, usage: RunUsage, context: Context) -> RunUsage:
        closing = context.outliving(CLOSE_SECONDS)
        return await closing.transaction(
            lambda tx: self._close(run, _Ending(usage), tx), turn=credits_turn(run.user_id)
        )

    async def _close_anyway(self, run: OpenRun, ended: _Ending, context: Context) -> None:
        """Close what did not end well, whoever has gone; where the database has gone too, the sweeper does it."""
        closing = context.outliving(CLOSE_SECONDS)
        with anyio.CancelScope(shield=True):
            try:
                await closing.transaction(lambda tx: self._close(run, ended, tx), turn=credits_turn(run.user_id))
            except (*DATABASE_AWAY, RunClosed) as error:
                log.warning("run.not_closed", run_id=run.id, outcome=ended.outcome, error=error.code)

    async def _close(self, run: OpenRun, ended: _Ending, tx: Context) -> RunUsage:
        if not await self._store.remove(run.id, session=tx.session):
            raise RunClosed
        return await self._charge(run, ended, tx)

    async def _charge(self, run: OpenRun, ended: _Ending, tx: Context) -> RunUsage:
        usage, charged = ended.usage, 0
        if run.held:
            share = None
            if run.share is not None and ended.earned:
                seller_id = None if ended.unclaimed else run.share.seller_id
                share = RunShare(seller_id, run.share.gross_millicredits, run.share.listing_id)
            charge = await tx.ask(CloseRun(run_id=run.id, charge_millicredits=run.charge(usage), share=share))
            charged = 0 if run.trial_of is not None else charge.charged_millicredits + charge.share_millicredits
        if run.purchase_id is not None and ended.outcome is not RunOutcome.OK:
            await tx.ask(GiveBackUse(purchase_id=run.purchase_id))
        usage = replace(usage, credits=from_millicredits(charged))
        await self._store.insert_usage(_record(run, replace(ended, usage=usage), tx), tx)
        return usage

    async def settle(self, message: SettleRun, tx: Context) -> RunUsage:
        """Close a run that was left open, by the terms that it was reserved with. Raises `RunClosed`."""
        run = await self._store.find(message.run_id, session=tx.session)
        if run is None:
            raise RunClosed
        ended = _Ending(message.usage, earned=message.earned, unclaimed=message.unclaimed)
        if message.error_code is not None:
            ended = _Ending(NOTHING, RunOutcome.FAILED, message.error_code)
        return await self._close(run, ended, tx)

    async def sweep(self, context: Context, *, limit: int = 500) -> int:
        """Release the runs that nobody will close any more; answers how many."""
        swept = 0
        for run in await self._store.list_expired(context.now(), limit):
            swept += await context.transaction(partial(self._release, run), turn=credits_turn(run.user_id))
        if swept:
            log.warning("runs.released", count=swept)
        return swept

    async def release(self, prefix: str, context: Context) -> int:
        """Give up the open runs whose ids begin with `prefix`; answers how many there were."""
        released = 0
        while runs := await self._store.list_named(prefix, RELEASED_AT_ONCE):
            for run in runs:
                work = partial(self._give_up, run)
                released += await context.transaction(work, turn=credits_turn(run.user_id))
        return released

    async def _give_up(self, run: OpenRun, tx: Context) -> bool:
        if not await self._store.remove(run.id, session=tx.session):
            return False
        await self._charge(run, _Ending(NOTHING, RunOutcome.CANCELLED, "cancelled"), tx)
        return True

    async def _release(self, run: OpenRun, tx: Context) -> bool:
        if not await self._store.take_expired(run.id, tx.now(), session=tx.session):
            return False
        await self._charge(run, _Ending(NOTHING, RunOutcome.LOST, "lost"), tx)
        return True


def _taken(run: OpenRun, meter: _Meter, now: float) -> RunUsage:
    """What a run took that is given up."""
    return meter.usage(run.terms, now) if meter.asked else NOTHING


async def _answer(meter: _Meter, *, whole: bool) -> Stream:
    model, prompt = meter.model, meter.prompt
    if whole:
        completion = await model.provider.complete(prompt, begun=meter.begin)
        if completion.text:
            yield Delta(completion.text)
        yield End(completion.finish, completion.tokens)
        return
    async with aclosing(model.provider.stream(prompt, begun=meter.begin)) as items:
        async for item in items:
            yield item


def _prompt(order: Order, model: Model) -> Prompt:
    settings = order.settings
    return Prompt(
        model=model.name,
        turns=tuple(Turn(Speaker(message.role.value), message.content) for message in order.messages),
        max_tokens=min(settings.max_tokens or DEFAULT_MAX_TOKENS, model.max_output_tokens),
        temperature=settings.temperature,
        top_p=settings.top_p,
        stop=settings.stop,
        seed=settings.seed,
        schema=settings.response_schema,
    )


def _caller(context: Context) -> CallerKind:
    if context.job is not None:
        return CallerKind.JOB
    principal = context.principal
    return CallerKind.PROGRAM if principal is not None and principal.key_id is not None else CallerKind.PERSON


def _record(run: OpenRun, ended: _Ending, tx: Context) -> UsageRecord:
    return UsageRecord(
        run_id=run.id,
        user_id=run.user_id,
        timestamp=tx.now(),
        purpose=run.purpose,
        caller=run.caller,
        outcome=ended.outcome,
        error_code=ended.code,
        model=run.model,
        provider=run.provider,
        prompt_id=run.prompt_id,
        prompt_version=run.prompt_version,
        usage=ended.usage,
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
