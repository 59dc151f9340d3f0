"""What people see of the sandbox, and who may not use it."""

from __future__ import annotations

import base64

import httpx
import pytest

from tests.support.stripe_sandbox import API_KEY, Till

pytestmark = pytest.mark.anyio


async def test_a_person_pays_on_the_page_and_is_sent_back(till: Till) -> None:
    session = await till.session(1234)
    assert session.url is not None
    async with httpx.AsyncClient() as browser:
        page = await browser.get(session.url)
        assert page.status_code == 200
        assert "this is not Stripe, and no money moves" in page.text
        assert "12.34 USD" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]

        declined = await browser.post(session.url, data={"action": "fail"})
        assert "Your card was declined." in declined.text
        paid = await browser.post(session.url, data={"action": "pay", "email": "b@example.com", "card": "blue"})
        assert paid.status_code == 303
        assert paid.headers["location"] == f"http://127.0.0.1:9/paid?session={session.id}"
        assert "is paid" in (await browser.get(f"{till.sandbox.url}/pay/{session.id}")).text
        assert (await browser.post(f"{till.sandbox.url}/pay/{session.id}", data={"action": "pay"})).status_code == 200
    await till.received.until("checkout.session.completed")
    await till.quiet()
    assert len(till.received.of("checkout.session.completed")) == 1


async def test_a_person_decides_what_becomes_of_a_delayed_payment(till: Till) -> None:
    session = await till.session()
    address = f"{till.sandbox.url}/pay/{session.id}"
    async with httpx.AsyncClient() as browser:
        await browser.post(address, data={"action": "delay"})
        assert "The bank has not decided yet." in (await browser.get(address)).text
        await browser.post(address, data={"action": "settle"})
    await till.received.until("checkout.session.async_payment_succeeded")


async def test_what_comes_from_a_program_is_text_on_the_page(till: Till) -> None:
    session = await till.session(customer_email='"><script>alert(1)</script>', cancel_url="javascript:alert(1)")
    page = await till.http.get(f"{till.sandbox.url}/pay/{session.id}")
    assert "<script>" not in page.text
    assert "javascript:" not in page.text


async def test_one_card_has_one_fingerprint(till: Till) -> None:
    prints = []
    for card in ("blue", "blue", "red", None, None):
        session = await till.session()
        await till.control(f"/checkout/{session.id}/pay", {"card": card})
        paid = await till.client.v1.checkout.sessions.retrieve_async(
            session.id, {"expand": ["payment_intent.latest_charge"]}
        )
        charge = paid.to_dict()["payment_intent"]["latest_charge"]
        prints.append(charge["payment_method_details"]["card"]["fingerprint"])
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


async def test_receipts_and_invoices_can_be_looked_at(till: Till) -> None:
    charge = await till.charge(2000)
    assert charge.receipt_url is not None
    assert "20.00 USD" in (await till.http.get(charge.receipt_url)).text
    assert (await till.http.get("/receipts/ch_none")).status_code == 404


async def test_the_control_api_wants_the_key(till: Till) -> None:
    async with httpx.AsyncClient(base_url=till.sandbox.url) as stranger:
        assert (await stranger.post("/_sandbox/funds", json={"amount": 1})).status_code == 401
        basic = base64.b64encode(f"{API_KEY}:".encode()).decode()
        known = await stranger.get("/v1/balance", headers={"Authorization": f"Basic {basic}"})
        assert known.status_code == 200
        assert (await stranger.get("/v1/balance", headers={"Authorization": "Basic !"})).status_code == 401
    assert (await till.http.post("/_sandbox/funds", json={"amount": 1, "more": 2})).status_code == 400
    assert (await till.http.get("/v1/nothing")).status_code == 404


async def test_another_version_of_the_api_is_refused(till: Till) -> None:
    answer = await till.http.get("/v1/balance", headers={"Stripe-Version": "2019-12-03"})
    assert answer.status_code == 400
    assert "2019-12-03" in answer.json()["error"]["message"]


async def test_another_name_than_this_machines_is_refused(till: Till) -> None:
    answer = await till.http.get("/v1/balance", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert (await till.http.get("/v1/balance", headers={"Host": "localhost:1"})).status_code == 200
