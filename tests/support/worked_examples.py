"""The worked examples of docs/money.md, carried out by the ledger's own commands: their tables are what it posted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from promptforge.actors.billing.ledger.adjustments.commands import grant
from promptforge.actors.billing.ledger.domain import Journal, Leg
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.domain import Deal, Terms
from promptforge.actors.billing.ledger.topups import commands as topups
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind, topup_journal
from promptforge.core.amounts import MILLI
from tests.support.books import MemoryBooks, broken_invariants, run

NAMES = {"bruno": "Bruno", "carla": "Carla"}
FEE_BP = 1500


class Scene:
    """Bruno, who buys, and Carla, who sells."""

    def __init__(self) -> None:
        self.books = MemoryBooks()
        self.books.pages.users.update(bruno=Holdings(), carla=Holdings())

    def do(self, *commands: Coroutine[Any, Any, object]) -> None:  # Any: what coroutines send and take
        for command in commands:
            run(command)

    def buys_credits(self, session: str, credits: int) -> None:
        self.do(self.books.post(topup_journal(session, user_id="bruno", amount=credits * MILLI, refs={})))

    def is_granted(self, grant_id: str, credits: int) -> None:
        self.do(grant(self.books, grant_id, user_id="bruno", amount=credits * MILLI, refs={}))

    def buys(self, purchase_id: str, credits: int) -> None:
        deal = Deal(purchase_id, "bruno", "carla", credits * MILLI)
        self.do(sales.charge(self.books, deal, fee_bp=FEE_BP))
        self.books.clock += timedelta(minutes=1)

    def a_month_passes(self) -> None:
        self.books.clock += timedelta(days=31)
        self.do(*(sales.settle(self.books, sale, Terms()) for sale in list(self.books.pages.sales)))

    def table(self) -> str:
        """Every journal with its legs, as Markdown."""
        assert broken_invariants(self.books.pages) == []
        rows = ["| journal | account | millicredits |", "|---|---|---|"]
        for journal in self.books.pages.journals.values():
            rows += _rows(journal)
        return "\n".join(rows)


def _rows(journal: Journal) -> list[str]:
    names = [f"`{journal.id}`", *([""] * (len(journal.legs) - 1))]
    return [
        f"| {name} | {_account(leg)} | {_amount(leg.amount)} |" for name, leg in zip(names, journal.legs, strict=True)
    ]


def _account(leg: Leg) -> str:
    if leg.user_id is None:
        return f"`{leg.account}`"
    source = f", paid with {leg.source}" if leg.source is not None and leg.account == "pending" else ""
    return f"{NAMES[leg.user_id]} `{leg.account}`{source}"


def _amount(amount: int) -> str:
    return f"{'−' if amount < 0 else '+'}{abs(amount):,}"


def sale() -> Scene:
    scene = Scene()
    scene.buys_credits("cs_1", 500)
    scene.is_granted("grt_1", 5)
    scene.buys("pur_1", 25)
    scene.a_month_passes()
    return scene


def refund_after_settlement() -> Scene:
    scene = Scene()
    scene.buys_credits("cs_1", 500)
    scene.buys("pur_1", 20)
    scene.a_month_passes()
    scene.do(
        payouts.reserve(scene.books, "po_1", user_id="carla", amount=10 * MILLI),
        payouts.begin_sending(scene.books, "po_1"),
        payouts.finish(scene.books, "po_1"),
        sales.refund(scene.books, "pur_1", reason="not as described"),
    )
    return scene


def dispute_lost() -> Scene:
    scene = Scene()
    scene.buys_credits("cs_1", 10)
    scene.buys("pur_1", 4)
    scene.a_month_passes()
    scene.buys("pur_2", 5)
    claim = Claim("dp_1", ClaimKind.DISPUTE, 1000)
    scene.do(
        topups.freeze(scene.books, "topup:cs_1", "dp_1"),
        topups.take_back(scene.books, "topup:cs_1", claim, captured=1000, undo_sales=True),
        topups.thaw(scene.books, "topup:cs_1", "dp_1"),
    )
    return scene


EXAMPLES: dict[str, Callable[[], Scene]] = {
    "A sale": sale,
    "A refund after settlement": refund_after_settlement,
    "A dispute that is lost": dispute_lost,
}

if __name__ == "__main__":
    for title, example in EXAMPLES.items():
        sys.stdout.write(f"### {title}\n\n{example().table()}\n\n")
