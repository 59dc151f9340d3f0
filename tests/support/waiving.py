"""What every buyer sends: the version of the withdrawal waiver that they were shown and have agreed to."""

from __future__ import annotations

from promptforge.actors.billing.terms import WITHDRAWAL_WAIVER

WAIVED = {"withdrawal_waiver": WITHDRAWAL_WAIVER}
