"""Stripe's own command line triggers events at the sandbox: its requests were written by Stripe, not by us."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import pytest

from tests.support.node_tools import node_tools
from tests.support.stripe_sandbox import API_KEY, Till, open_till

pytestmark = pytest.mark.anyio

TRIGGERED = {
    "checkout.session.completed": ["payment_intent.succeeded", "checkout.session.completed"],
    "checkout.session.async_payment_succeeded": ["checkout.session.async_payment_succeeded"],
    "checkout.session.async_payment_failed": ["checkout.session.async_payment_failed"],
    "checkout.session.expired": ["checkout.session.expired"],
    "payment_intent.succeeded": ["charge.succeeded", "payment_intent.succeeded"],
    "payment_intent.payment_failed": ["charge.failed", "payment_intent.payment_failed"],
    "charge.refunded": ["charge.refunded", "refund.created"],
    "charge.refund.updated": ["refund.updated", "charge.refund.updated"],
    "charge.dispute.created": ["charge.dispute.created"],
    "charge.dispute.updated": ["charge.dispute.updated"],
    "charge.dispute.closed": ["charge.dispute.closed"],
    "customer.created": ["customer.created"],
    "customer.subscription.created": ["customer.subscription.created", "invoice.paid"],
    "customer.subscription.updated": ["customer.subscription.updated"],
    "customer.subscription.deleted": ["customer.subscription.deleted"],
    "invoice.paid": ["invoice.finalized", "invoice.paid"],
    "invoice.payment_failed": ["invoice.payment_failed"],
    "transfer.created": ["transfer.created"],
    "transfer.updated": ["transfer.updated"],
    "transfer.reversed": ["transfer.reversed"],
    "payout.created": ["payout.created"],
    "payout.updated": ["payout.updated"],
    "topup.created": ["topup.created"],
    "billing_portal.session.created": ["billing_portal.session.created"],
}
"""What is triggered, and events that come of it. `account.updated` is the one that comes to the Connect endpoint."""


@pytest.fixture(scope="session")
def cli() -> Path:
    found = node_tools("stripe").modules / "@stripe" / "cli-linux-x64" / "bin" / "stripe"
    if not found.exists():
        pytest.skip("the command line is locked for Linux on x86-64 only")
    return found


async def trigger(cli: Path, till: Till, event: str, home: Path) -> str:
    """Run it with nothing of the user's: no configuration, no sign-in."""
    done = await anyio.run_process(
        [cli, "trigger", event, "--api-base", till.sandbox.url, "--api-key", API_KEY],
        env={
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "STRIPE_CLI_TELEMETRY_OPTOUT": "1",  # now and then it panics, after all is done
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    assert "Trigger succeeded" in said, said
    return said


@pytest.mark.parametrize("event", TRIGGERED)
async def test_the_command_line_triggers_what_it_can(cli: Path, event: str, tmp_path: Path) -> None:
    async with open_till() as till:
        await till.control("/funds", {"amount": 100_000})  # a used account, as the command line expects one
        await trigger(cli, till, event, tmp_path)
        for kind in TRIGGERED[event]:
            await till.received.until(kind)


async def test_the_command_line_triggers_an_event_of_a_connected_account(cli: Path, till: Till, tmp_path: Path) -> None:
    await trigger(cli, till, "account.updated", tmp_path)
    event = await till.received.until("account.updated")
    assert event["account"] == event["data"]["object"]["id"]


async def test_the_command_line_is_refused_with_a_wrong_key(cli: Path, tmp_path: Path) -> None:
    async with open_till(api_key="sk_test_of_somebody_else") as till:
        with pytest.raises(AssertionError, match="Invalid API Key"):
            await trigger(cli, till, "customer.created", tmp_path)
