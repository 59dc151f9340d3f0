"""In which order the files of tests are run: those that take longest first, so that none of them is left for the end.

`make test` gives each of its processes a file at a time (`--dist loadfile`). Times are seconds of CPU; what is not
named here takes less, and follows in the usual order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS: Mapping[str, int] = {
    "acceptance/test_permissions.py": 87,
    "integration/upgrade/test_opening.py": 70,
    "acceptance/test_fuzz.py": 66,
    "acceptance/test_money_kills.py": 57,
    "acceptance/test_serving.py": 49,
    "acceptance/test_recommendations.py": 47,
    "acceptance/test_sealed_runs.py": 46,
    "acceptance/test_ai.py": 45,
    "acceptance/test_typescript_client.py": 45,
    "acceptance/test_notifications.py": 41,
    "acceptance/test_stripe_sandbox.py": 36,
    "acceptance/test_stopping.py": 36,
    "integration/billing/test_events.py": 33,
    "integration/mongo/test_embedded.py": 32,
    "acceptance/test_suspension.py": 29,
    "integration/billing/test_claims.py": 29,
    "integration/partnerships/test_referrals.py": 28,
    "integration/marketplace/test_browsing.py": 28,
    "acceptance/test_payouts.py": 27,
    "integration/accounts/test_closing_races.py": 26,
    "acceptance/test_accounts.py": 26,
    "integration/partnerships/test_earnings.py": 26,
    "acceptance/test_package_kills.py": 25,
    "acceptance/test_market_races.py": 25,
    "integration/mongo/test_patience.py": 24,
    "acceptance/test_analytics.py": 24,
    "acceptance/test_evaluation_troubles.py": 23,
    "acceptance/test_notification_stream.py": 23,
    "integration/ai/test_folding.py": 20,
    "acceptance/test_money_races.py": 20,
    "integration/prompts/test_includes.py": 20,
    "integration/marketplace/test_source_after_runs.py": 19,
    "acceptance/test_account_attacks.py": 18,
    "acceptance/test_partnerships.py": 18,
    "integration/identity/test_emulator.py": 18,
    "integration/marketplace/test_sealed_runs.py": 18,
    "integration/moderation/test_recommendations.py": 18,
}


def longest_first(path: Path) -> int:
    """The key to sort by."""
    return -SECONDS.get(path.relative_to(ROOT / "tests").as_posix(), 0)
