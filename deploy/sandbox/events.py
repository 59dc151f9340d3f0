"""The events list: everything that has happened, whether or not it was delivered, for thirty days."""

from __future__ import annotations

from fnmatch import fnmatchcase

from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object
from promptforge.deploy.sandbox.world import Call

operations = Operations()
KEPT_SECONDS = 30 * 86_400


@operations.list("/events", "events.list", known="delivery_success type types")
def list_events(call: Call) -> Object:
    """Of the account that asks. `type` may end in a wildcard, as `charge.*`; `types` is several."""
    params, since = call.params, call.world.now() - KEPT_SECONDS
    events = call.world.newest_first("event")
    items = [one for one in events if one.get("account") == call.account and one["created"] >= since]
    wanted = [*params.texts("types"), *params.texts("type")]
    if wanted:
        items = [one for one in items if any(fnmatchcase(one["type"], pattern) for pattern in wanted)]
    if "delivery_success" in params:
        delivered = params.flag("delivery_success")
        items = [one for one in items if (one["pending_webhooks"] == 0) is delivered]
    return listed(call, "event", items=items)


@operations.get("/events/{id}", "events.retrieve")
def retrieve_event(call: Call) -> Object:
    return call.get("event")
