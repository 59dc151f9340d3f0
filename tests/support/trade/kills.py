"""Kills: at each named point of the product at which money is on its way, and at any moment, under load.

A killed process leaves behind its transactions, until MongoDB ends them after a minute, and its jobs, until it counts
as dead. `Dying.at_once` says how often both happen at once, so that what comes after is met soon; otherwise time
passes.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from pymongo.errors import OperationFailure

from promptforge import actors
from promptforge.actors.billing.ledger.messages import WarnOfExpiry
from promptforge.actors.billing.payouts.messages import SendPayout
from promptforge.core.jobs.documents import JOBS, PROCESSES
from promptforge.http.idempotency import REPLIES
from tests.support.running import eventually
from tests.support.trade import cashing, faults, paying, selling
from tests.support.trade.market import Market

WARNING = WarnOfExpiry.message_kind
"""Jobs for a day to come."""
SEND = SendPayout.message_kind
Operation = Callable[[Market], bool]
Kill = str | float
"""A point, or so many seconds."""
POINT_SECONDS = 40.0
"""A point that nobody comes by is given up after so long, and the process is killed where it happens to be."""
LOAD: Mapping[Operation, int] = {
    paying.top_up: 10,
    paying.be_declined: 1,
    paying.pay_late: 4,
    paying.settle_late_payment: 5,
    paying.pay_and_dispute: 1,
    paying.refund: 5,
    paying.fail_refund: 3,
    paying.dispute: 4,
    paying.judge_dispute: 5,
    paying.subscribe: 3,
    paying.renew: 4,
    paying.pay_open_invoice: 2,
    paying.end_with_period: 1,
    paying.end_now: 1,
    selling.buy: 25,
    selling.list_more: 2,
    selling.ask_for_refund: 5,
    selling.decide_refund: 4,
    selling.appeal_refund: 4,
    selling.decide_appeal: 4,
    selling.settle: 8,
    selling.promote: 3,
    selling.buy_with_gifts: 3,
    selling.expire_gifts: 3,
    selling.turn_out_related: 1,
    selling.leave: 1,
    selling.refer: 2,
    cashing.cash_out: 10,
    cashing.cash_out_and_cancel: 4,
    cashing.hold_and_release: 2,
    cashing.cash_gifts_out: 2,
    cashing.cash_out_family: 1,
    cashing.be_refused: 1,
    cashing.reverse_transfer: 3,
    cashing.pay_bank: 3,
    cashing.hasten_all: 3,
    faults.trouble_stripe: 4,
    faults.trouble_events: 4,
}
"""What happens under load, and how often, relatively."""
PROVOKING: Mapping[str, tuple[Operation, ...]] = {
    "expiry.before_commit": (selling.promote, selling.buy_with_gifts, selling.expire_gifts),
    "withholding.before_commit": (selling.turn_out_related,),
    "payout.returned.before_commit": (cashing.be_refused,),
    "compensation.before_commit": (
        selling.buy,
        selling.ask_for_refund,
        selling.decide_refund,
        selling.appeal_refund,
        selling.decide_appeal,
    ),
    "settlement.before_commit": (selling.buy, selling.settle),
    "settlement.before_fold": (selling.buy, selling.settle),
    "payout.": (selling.buy, selling.settle, cashing.cash_out),
    "checkout.": (paying.top_up,),
    "event.": (paying.top_up,),
    "sale.": (selling.buy,),
    "account.": (selling.leave,),
    "commissions.before_commit": (selling.refer, selling.settle),
    "commissions.given_up": (selling.refer,),
}
"""What leads to a point, or to those whose names begin so, while it is armed; a point that has a line of its own is
seldom met.
"""
BESIDE = frozenset({"undoing.before_commit", "commissions.restored"})
"""Points that this load does not come to. The first takes two hundred sales of one payment, and is cut off in
tests/integration/billing/test_topup_claims.py; the second takes an appeal, and is died at in
tests/chaos/test_commissions.py.
"""
INTERRUPTED = 11601
"""MongoDB's code for what `killAllSessions` has cut off."""
_REACH = re.compile(r"""\breach\(\s*f?["']([^"'{]+)["']""")


def points() -> tuple[str, ...]:
    """Where money is on its way, read from the product's source, so that none can be forgotten: all points of billing,
    and that at which an account is closed.
    """
    root = Path(next(iter(actors.__path__)))
    sources = [*(root / "billing").rglob("*.py"), root / "accounts" / "actor.py"]
    found = {point for source in sources for point in _REACH.findall(source.read_text("utf-8"))}
    kept = (point for point in found if not point.startswith("account.") or point == "account.closed")
    return tuple(sorted(set(kept) - BESIDE))


def leading_to(point: str) -> tuple[Operation, ...]:
    return next((what for name, what in PROVOKING.items() if point.startswith(name)), ())


@dataclass(slots=True)
class Dying:
    """A market whose service ends again and again. `at_once` is a probability; `seen`: where it ended by itself."""

    market: Market
    at_once: float = 1.0
    seen: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    told: Callable[[str], object] | None = None
    """Is told of each kill."""
    _provoking: list[Thread] = field(default_factory=list)

    # Load

    @contextlib.contextmanager
    def under_load(self, threads: int = 4, load: Mapping[Operation, int] = LOAD) -> Iterator[None]:
        market = self.market
        with ThreadPoolExecutor(threads) as pool:
            working = [pool.submit(self._load, load) for _ in range(threads)]
            try:
                yield
            finally:
                market.stop.set()
            for work in working:
                work.result(600)
        assert market.failures == [], market.failures

    def _load(self, load: Mapping[Operation, int]) -> None:
        operations, weights = list(load), list(load.values())
        while not self.market.stop.is_set():
            if not self.do(self.market.rng.choices(operations, weights)[0]):
                return
            time.sleep(0.05)

    def do(self, operation: Operation) -> bool:
        """False: it went wrong, which is told in the end.

        Ending all sessions may cut off what an operation writes to the database itself, such as a day that has come
        early: then it has come, or has not, and the operation ends there.
        """
        market = self.market
        try:
            market.done[operation.__name__] += operation(market) is not False
        except OperationFailure as error:
            if error.code != INTERRUPTED:
                market.failures.append(f"{operation.__name__}: {error!r}")
                market.stop.set()
                return False
        except Exception as error:  # noqa: BLE001  # told at the end, by the thread that waits
            market.failures.append(f"{operation.__name__}: {error!r}")
            market.stop.set()
            return False
        return True

    # Kills

    def round(self, kills: Sequence[Kill], *, seconds: float = math.inf) -> None:
        """Ends early after so many seconds, and where something has gone wrong."""
        until = time.monotonic() + seconds
        service = self.market.service
        for kill in kills:
            if self.market.stop.is_set() or time.monotonic() > until:
                break
            service.kill()
            point = isinstance(kill, str)
            passes = 0 if kill in PROVOKING else self.market.rng.randrange(2)
            service.set(FAILPOINTS=f"{kill}:{passes}" if point else "")
            self._start()
            there = self._dies(kill)
            self.kills += 1
            if there and isinstance(kill, str):
                self.seen[kill] += 1
            if self.told:
                self.told(f"{self.kills}: {kill} {'was passed' if there else ''}")
        service.kill()
        service.set(FAILPOINTS="")
        self._start()
        for provoking in self._provoking:
            provoking.join()

    def _dies(self, kill: Kill) -> bool:
        """End the service, at the point or after the time; whether it ended by itself."""
        service = self.market.service
        until = time.monotonic() + (POINT_SECONDS if isinstance(kill, str) else kill)
        over = Event()
        if isinstance(kill, str):
            self._provoking.append(Thread(target=self._provoke, args=(kill, over)))
            self._provoking[-1].start()
        while service.running and time.monotonic() < until:
            time.sleep(0.02)
        there = not service.running
        over.set()
        service.kill()
        return there

    def _provoke(self, point: str, over: Event) -> None:
        """Do what leads to the point, until the process has ended."""
        chosen = leading_to(point)
        while chosen and not over.is_set() and not self.market.stop.is_set():
            for operation in chosen:
                self.do(operation)

    def _start(self) -> None:
        """A point may be passed before it is ready: then that was the kill."""
        if self.market.rng.random() < self.at_once:
            self.bury()
        with contextlib.suppress(AssertionError):
            self.market.service.start()

    def bury(self) -> None:
        """What otherwise takes a minute: MongoDB ends the transactions of the process, which counts as dead, and what
        people had sent to it can be sent again.
        """
        self.market.mongo.admin.command("killAllSessions", [])
        self.market.database[PROCESSES].delete_many({})
        claimed = {"status": {"$exists": False}}
        self.market.database[REPLIES].update_many(claimed, {"$set": {"claimed_until": datetime.now(UTC)}})

    # The end

    def quiet(self) -> None:
        """Stripe is well again, all that it has to tell was told, and every job has ended, however late it was to run.

        What somebody owes keeps their payout waiting for ever: its seller takes it back.
        """
        market = self.market
        market.stripe.request("DELETE", "/_sandbox/faults", json={})
        eventually(lambda: market.stripe.get("/_sandbox").json()["undelivered"] == 0, seconds=300)
        self._idle()
        for name in ("sweep-stripe-events", "sweep-payouts", "settle-sales", "expire-gifts", "reconcile-stripe"):
            assert market.operator.client.post(f"/jobs/schedules/{name}/trigger").status_code == 202
            self._idle()
        for state in ("requested", "held"):
            for payout in market.operator.get(f"/ops/payouts?state={state}&limit=100")["items"]:
                seller = next(one for one in market.cashiers if one.id == payout["user_id"])
                cashing.cancel(market, seller, payout["id"])
        self._idle()
        self.close_accounts()

    def close_accounts(self) -> None:
        """Five minutes have passed since they were closed, and a day: nothing is under way that began before."""
        deletions = self.market.database["account_deletions"]
        for _ in range(3):
            deletions.update_many({"state": {"$ne": "cancelled"}}, {"$set": {"due_at": datetime.now(UTC)}})
            self.market.trigger("close-accounts")
            self._idle()

    def _idle(self) -> None:
        """Until nothing is to be done any more, but for payouts that wait for their seller."""
        jobs = self.market.database[JOBS]

        def idle() -> bool:
            self._revive()
            rows = list(jobs.find({"state": {"$in": ["available", "running"]}, "kind": {"$ne": WARNING}}))
            left = [row for row in rows if not _waits_for_its_seller(row)]
            cashing.hasten(self.market, *{row["kind"] for row in rows if row["state"] == "available"})
            return not left

        eventually(idle, seconds=300)

    def _revive(self) -> None:
        """Retry, as operators would, the jobs that lost their process so often that they count as poison."""
        operator = self.market.operator
        for job in operator.get("/jobs?state=dead")["items"]:
            errors = operator.get(f"/jobs/{job['id']}")["errors"]
            assert errors[-1]["error"] == "poison", (job, errors)
            operator.post(f"/jobs/{job['id']}/retry")


def _waits_for_its_seller(job: dict[str, Any]) -> bool:
    """A payout that was put off again and again."""
    return bool(job["kind"] == SEND and job["state"] == "available" and job.get("snoozed", 0) >= 3)
