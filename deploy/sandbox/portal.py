"""Sessions of the billing portal, where a customer looks after their subscription (pages.py shows it)."""

from __future__ import annotations

from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object
from promptforge.deploy.sandbox.world import Call

operations = Operations()


@operations.post(
    "/billing_portal/sessions",
    "billing_portal.sessions.create",
    known="configuration customer locale return_url",
)
def create_portal(call: Call) -> Object:
    world, identifier = call.world, call.world.new_id("bps")
    session: Object = {
        "id": identifier,
        "object": "billing_portal.session",
        "configuration": call.params.find("configuration") or "bpc_sandbox",
        "created": world.now(),
        "customer": call.named("customer", "customer")["id"],
        "flow": None,
        "livemode": False,
        "locale": call.params.find("locale"),
        "on_behalf_of": None,
        "return_url": call.params.find("return_url"),
        "url": f"{world.base_url}/portal/{identifier}",
    }
    world.emit("billing_portal.session.created", world.add(session, account=call.account), account=call.account)
    return session
