"""Credits: what people have, what changed it, and the sales and grants that do. Every change is a journal."""

from __future__ import annotations

from promptforge.actors.billing.errors import GrantTooLarge, JournalMismatch, SelfPurchase
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import (
    Holdings,
    Journal,
    Part,
    grant_journal,
    plan_payment,
    purchase_journal,
    purchase_key,
)
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.actors.billing.ledger.views import charge_of, credits_view, transaction_view
from promptforge.actors.billing.messages import (
    Charge,
    ChargePurchase,
    CreditsView,
    GetCredits,
    GrantCredits,
    GrantView,
    LedgerReport,
    ListTransactions,
    TransactionView,
    VerifyLedger,
)
from promptforge.actors.billing.notices import credits_granted
from promptforge.actors.billing.verification import verify
from promptforge.core.amounts import MILLI, from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError, FieldError, Invalid
from promptforge.core.ids import new_id
from promptforge.core.mongo import Session
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

DEFAULT_FEE_BP = 1500
DEFAULT_GRANT_CAP = 10_000 * MILLI
