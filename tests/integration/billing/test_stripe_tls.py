"""Whom the key of Stripe is shown to."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptforge.actors.billing.errors import StripeUnavailable
from promptforge.actors.billing.stripe.api import StripeApi
from tests.support.certificates import certificate
from tests.support.receiver import receiving

pytestmark = pytest.mark.anyio


async def test_whoever_no_authority_vouches_for_hears_no_request(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path, "localhost")
    async with receiving(tls=server) as stranger:
        api = StripeApi("sk_test_of_tests", api_base=f"https://localhost:{stranger.port}")
        try:
            with pytest.raises(StripeUnavailable):
                await api.read(lambda client: client.v1.charges.retrieve_async("ch_1"), about="a charge")
        finally:
            await api.close()
        assert stranger.received == []
