"""Connected accounts: made by the platform, onboarded by a person (pages.py) or a test, paid afterwards."""

from __future__ import annotations

import hashlib

from promptforge.deploy.sandbox.lists import listed, whole
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()
LINK_SECONDS = 300
OF_ACCOUNTS = (
    "account_token business_profile business_type capabilities company controller country default_currency email "
    "external_account individual metadata settings tos_acceptance type"
)
FIRST_DUE = ("business_type", "external_account", "tos_acceptance.date", "tos_acceptance.ip")
CURRENCIES = {
    "AT": "eur",
    "DE": "eur",
    "ES": "eur",
    "FR": "eur",
    "GB": "gbp",
    "HU": "huf",
    "IS": "isk",
    "IT": "eur",
    "JP": "jpy",
}


@operations.post("/accounts", "accounts.create", known=OF_ACCOUNTS)
def create_account(call: Call) -> Object:
    """One without type, controller and capabilities is ready at once; others have to be onboarded."""
    world, params = call.world, call.params
    asked = dict.fromkeys(params.part("capabilities"), "inactive")
    kind = params.find("type") or ("none" if "controller" in params else "standard")
    country = params.find("country") or "US"
    account: Object = {
        "id": world.new_id("acct", 16),
        "object": "account",
        "business_profile": {"mcc": None, "name": None, "url": None, **params.part("business_profile").tree},
        "business_type": params.find("business_type"),
        "capabilities": asked,
        "charges_enabled": False,
        "controller": _controller(call, kind),
        "country": country,
        "created": world.now(),
        "default_currency": params.find("default_currency") or CURRENCIES.get(country, "usd"),
        "details_submitted": False,
        "email": params.find("email"),
        "external_accounts": None,
        "future_requirements": _requirements([]),
        "metadata": params.metadata(),
        "payouts_enabled": False,
        "requirements": _requirements(list(FIRST_DUE)),
        "settings": {"payouts": {"debit_negative_balances": True, "schedule": {"delay_days": 2, "interval": "daily"}}},
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": kind,
    }
    account["external_accounts"] = whole([], f"/v1/accounts/{account['id']}/external_accounts")
    world.add(account)
    if not asked and kind == "standard":
        account["capabilities"] = {"card_payments": "active", "transfers": "active"}
    return account


def _controller(call: Call, kind: str) -> Object:
    own = call.params.part("controller").tree
    dashboard = {"express": "express", "standard": "full"}.get(kind, "none")
    return {
        "fees": {"payer": "application"}, "is_controller": True, "losses": {"payments": "application"},
        "requirement_collection": "stripe", "stripe_dashboard": {"type": dashboard}, "type": "application", **own,
    }  # fmt: skip


def _requirements(due: list[str], *, disabled: str | None = None) -> Object:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": disabled or ("requirements.past_due" if due else None),
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": [],
    }


def onboard(world: World, account: Object, *, bank: str | None = None) -> None:
    """All details are there: what was asked for works. `bank` names the bank account, for its fingerprint."""
    capabilities = dict.fromkeys(account["capabilities"], "active")
    previous = changed(
        account,
        {
            "business_type": account["business_type"] or "individual",
            "capabilities": capabilities,
            "charges_enabled": "card_payments" in capabilities,
            "details_submitted": True,
            "payouts_enabled": True,
            "requirements": _requirements([]),
            "tos_acceptance": {"date": world.now(), "ip": "127.0.0.1", "user_agent": None},
        },
    )
    if not account["external_accounts"]["data"] or bank is not None:
        set_bank(world, account, bank or account["id"])
    world.emit("account.updated", account, account=account["id"], previous=previous)


def set_bank(world: World, account: Object, bank: str) -> None:
    made: Object = {
        "id": world.new_id("ba"),
        "object": "bank_account",
        "account": account["id"],
        "account_holder_name": None,
        "bank_name": "SANDBOX BANK",
        "country": account["country"],
        "currency": account["default_currency"],
        "default_for_currency": True,
        "fingerprint": hashlib.sha256(bank.encode()).hexdigest()[:16],
        "last4": "6789",
        "metadata": {},
        "routing_number": "110000000",
        "status": "new",
    }
    before = account["external_accounts"]["data"]
    account["external_accounts"] = {**account["external_accounts"], "data": [made]}
    kind = "account.external_account.updated" if before else "account.external_account.created"
    world.emit(kind, made, account=account["id"])


def require(world: World, account: Object, due: list[str], *, reason: str | None = None) -> None:
    """Stripe wants more details: nothing is paid out meanwhile."""
    capabilities = dict.fromkeys(account["capabilities"], "inactive")
    previous = changed(
        account,
        {
            "capabilities": capabilities,
            "charges_enabled": False,
            "payouts_enabled": False,
            "requirements": _requirements(due, disabled=reason),
        },
    )
    world.emit("account.updated", account, account=account["id"], previous=previous)


@operations.get("/accounts/{id}", "accounts.retrieve")
def retrieve_account(call: Call) -> Object:
    return call.get("account")


@operations.get("/account", "accounts.retrieve_current")
def retrieve_current(call: Call) -> Object:
    """The account that asks: a connected one, or the platform."""
    if call.account is not None:
        return call.world.get("account", call.account)
    return {"id": "acct_sandbox", "object": "account", "country": "US", "default_currency": "usd", "type": "standard"}


@operations.post("/accounts/{id}", "accounts.update", known=OF_ACCOUNTS)
def update_account(call: Call) -> Object:
    world, account, params = call.world, call.get("account"), call.params
    changes: Object = {name: params.find(name) for name in ("business_type", "email") if name in params}
    changes["metadata"] = params.metadata(account["metadata"])
    wanted = dict.fromkeys(params.part("capabilities"), "active" if account["payouts_enabled"] else "inactive")
    changes["capabilities"] = {**wanted, **account["capabilities"]}
    previous = changed(account, changes)
    if "external_account" in params:
        set_bank(world, account, str(params.tree["external_account"]))
    world.emit("account.updated", account, account=account["id"], previous=previous)
    return account


@operations.delete("/accounts/{id}", "accounts.delete")
def delete_account(call: Call) -> Object:
    account = call.get("account")
    held = [funds for (owner, _), funds in call.world.funds.items() if owner == account["id"]]
    if any(funds.available or funds.pending for funds in held):
        raise declined_by_rule("This account's balance is not zero.", code="account_invalid")
    call.world.remove("account", account["id"])
    return {"id": account["id"], "object": "account", "deleted": True}


@operations.list("/accounts", "accounts.list")
def list_accounts(call: Call) -> Object:
    return listed(call, "account")


@operations.post(
    "/account_links", "account_links.create", known="account collect collection_options refresh_url return_url type"
)
def create_link(call: Call) -> Object:
    """The page where a person gives their details; it works once, and not for long."""
    world, params = call.world, call.params
    account = call.named("account", "account")
    params.choice("type", ("account_onboarding", "account_update"))
    token = world.new_id("onb")
    link: Object = {
        "id": token,
        "object": "account_link",
        "created": world.now(),
        "expires_at": world.now() + LINK_SECONDS,
        "url": f"{world.base_url}/onboard/{token}",
        "_account": account["id"],
        "_refresh_url": params.text("refresh_url"),
        "_return_url": params.text("return_url"),
        "_used": False,
    }
    world.add(link)
    return {name: value for name, value in link.items() if name != "id"}


@operations.post("/accounts/{id}/login_links", "accounts.login_links.create")
def create_login_link(call: Call) -> Object:
    account = call.get("account")
    return {
        "object": "login_link",
        "created": call.world.now(),
        "url": f"{call.world.base_url}/express/{account['id']}",
    }


@operations.list("/accounts/{id}/external_accounts", "accounts.external_accounts.list", known="object")
def list_external_accounts(call: Call) -> Object:
    data: list[Object] = call.get("account")["external_accounts"]["data"]
    return whole(data, call.url)
