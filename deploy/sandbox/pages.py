"""The pages for people: paying, onboarding, the billing portal, receipts. Each says that it is a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from starlette.responses import HTMLResponse, RedirectResponse, Response

from promptforge.deploy.sandbox import accounts, sessions, subscriptions
from promptforge.deploy.sandbox.currencies import ZERO_DECIMAL
from promptforge.deploy.sandbox.customers import Behaviour
from promptforge.deploy.sandbox.forms import Params, parse
from promptforge.deploy.sandbox.refusals import Object, Refused
from promptforge.deploy.sandbox.taxes import PERCENT, Buyer
from promptforge.deploy.sandbox.world import World, changed

MARK = "Stripe sandbox of PromptForge: this is not Stripe, and no money moves."
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1a1f36}"
    ".mark{background:#ffe9a8;border:2px solid #c98a00;padding:.6rem 1rem;border-radius:.5rem;font-weight:600}"
    "button{font:inherit;padding:.5rem 1rem;margin:.4rem .4rem .4rem 0;border:1px solid #635bff;border-radius:.4rem;"
    "background:#635bff;color:#fff;cursor:pointer}button.quiet{background:#fff;color:#635bff}"
    "table{width:100%;border-collapse:collapse}td{padding:.3rem 0;border-bottom:1px solid #e3e8ee}"
    "td:last-child{text-align:right}.problem{color:#b3093c}label{display:block;margin:.4rem 0}"
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAYING = {
    "pay": Behaviour(),
    "fail": Behaviour(declines="generic_decline"),
    "delay": Behaviour(delayed="succeeds"),
}


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class GoTo:
    url: str


@dataclass(frozen=True, slots=True)
class Visit:
    """`form` is what a button sent; None where somebody only looks."""

    world: World
    id: str
    form: Params | None


Show = Callable[[Visit], Page | GoTo]


def respond(show: Show, world: World, identifier: str, sent: bytes | None) -> Response:
    """`sent`: the form, where a button was pressed."""
    try:
        form = None if sent is None else Params(parse(sent.decode("utf-8", "replace")))
        found = show(Visit(world, identifier, form))
    except Refused as refused:
        return HTMLResponse(_html(Page("Not here", f"<p class=problem>{escape(str(refused))}</p>")), 404, HEADERS)
    if isinstance(found, GoTo):
        return RedirectResponse(found.url, 303, HEADERS)
    return HTMLResponse(_html(found), 200, HEADERS)


def _html(page: Page) -> str:
    title = escape(page.title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title} (sandbox)</title><style>{STYLE}</style>"
        f"<p class=mark>{MARK}</p><h1>{title}</h1>{page.body}"
    )


def money(amount: int, currency: str) -> str:
    shown = str(amount) if currency in ZERO_DECIMAL else f"{amount / 100:.2f}"
    return f"{shown} {currency.upper()}"


def _button(action: str, text: str, *, quiet: bool = False) -> str:
    kind = ' class="quiet"' if quiet else ""
    return f"<button{kind} name=action value={action}>{escape(text)}</button>"


def _form(*parts: str) -> str:
    return f"<form method=post>{''.join(parts)}</form>"


def _rows(rows: list[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><td>{escape(name)}<td>{escape(value)}' for name, value in rows)}</table>"


def _link(url: str | None, text: str) -> str:
    safe = url is not None and url.startswith(("http://", "https://"))
    return f'<p><a href="{escape(url or "")}">{escape(text)}</a></p>' if safe else ""


# Paying


def pay(visit: Visit) -> Page | GoTo:
    world = visit.world
    session = world.get("checkout.session", visit.id, account=world.owner("checkout.session", visit.id))
    problem = ""
    if visit.form is not None:
        action = visit.form.choice("action", (*PAYING, "settle", "bounce"))
        try:
            _act(world, session, action, visit.form)
        except Refused as refused:
            problem = f"<p class=problem>{escape(str(refused))} Try again.</p>"
        else:
            if action in PAYING:
                return GoTo(_success_url(session))
    return Page("Checkout", _items(session) + problem + _choices(session))


def _act(world: World, session: Object, action: str, form: Params) -> None:
    if action in PAYING:
        buyer = Buyer(form.find("country") or "US", form.find("email"), form.find("name"), form.find("card"))
        sessions.pay(world, session, PAYING[action], buyer)
    else:
        sessions.settle(world, session, succeeds=action == "settle")


def _success_url(session: Object) -> str:
    url: str = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    return url if url.startswith(("http://", "https://")) else "about:blank"


def _items(session: Object) -> str:
    rows = [
        (f"{item.quantity} × {item.title}", money(item.amount, session["currency"]))
        for item in sessions.items_of(session)
    ]
    tax = session["total_details"]["amount_tax"]
    rows += [("Tax", money(tax, session["currency"]))] if tax else []
    return _rows([*rows, ("Total", money(session["amount_total"], session["currency"]))])


def _choices(session: Object) -> str:
    if session["status"] == "expired":
        return "<p>This session has expired.</p>"
    if session["status"] == "complete":
        if session["payment_status"] == "paid":
            return "<p>This session is paid.</p>" + _link(_success_url(session), "Back to the shop")
        return "<p>The bank has not decided yet.</p>" + _form(
            _button("settle", "Let the money arrive"), _button("bounce", "Let it fail", quiet=True)
        )
    countries = "".join(f"<option{' selected' if code == 'US' else ''}>{code}" for code in PERCENT)
    once = session["mode"] == "payment"
    return _form(
        f'<label>E-mail <input name=email type=email value="{escape(session["customer_email"] or "")}"></label>',
        f"<label>Country <select name=country>{countries}</select></label>",
        "<label>Card (any name; the same name is the same card) <input name=card></label>",
        _button("pay", "Pay"),
        _button("fail", "Have the card declined", quiet=True),
        _button("delay", "Pay with a delayed method", quiet=True) if once else "",
    ) + _link(session["cancel_url"], "Back without paying")


# Sellers


def onboard(visit: Visit) -> Page | GoTo:
    world = visit.world
    link = world.get("account_link", visit.id)
    if link["_used"] or world.now() > link["expires_at"]:
        return GoTo(link["_refresh_url"])
    account = world.get("account", link["_account"])
    if visit.form is not None:
        link["_used"] = True
        if visit.form.choice("action", ("complete", "leave")) == "complete":
            accounts.onboard(world, account, bank=visit.form.find("bank"))
        return GoTo(link["_return_url"])
    due = ", ".join(account["requirements"]["currently_due"]) or "nothing"
    return Page(
        "Details for payouts",
        f"<p>Account {escape(account['id'])}. Missing: {escape(due)}.</p>"
        + _form(
            "<label>Bank account (any name; the same name is the same account) <input name=bank></label>",
            _button("complete", "Give all details"),
            _button("leave", "Leave without", quiet=True),
        ),
    )


def express(visit: Visit) -> Page:
    account = visit.world.get("account", visit.id)
    held = [
        (cur.upper(), money(funds.available, cur))
        for (who, cur), funds in visit.world.funds.items()
        if who == account["id"]
    ]
    return Page(f"Account {account['id']}", _rows([("Payouts", str(account["payouts_enabled"])), *held]))


# Customers


def portal(visit: Visit) -> Page | GoTo:
    world, portal_id = visit.world, visit.id
    session = world.get("billing_portal.session", portal_id, account=world.owner("billing_portal.session", portal_id))
    mine = [one for one in world.newest_first("subscription") if one["customer"] == session["customer"]]
    if visit.form is not None:
        chosen = next((one for one in mine if one["id"] == visit.form.find("subscription")), None)
        action = visit.form.choice("action", ("end", "resume", "now"))
        if chosen is not None and chosen["status"] != "canceled":
            _change_subscription(world, chosen, action)
        return GoTo(session["url"])
    shown = "".join(_subscription(one) for one in mine) or "<p>There is no subscription.</p>"
    bills = [one for one in world.newest_first("invoice") if one["customer"] == session["customer"]]
    rows = [
        (one["number"] or one["id"], f"{money(one['total'], one['currency'])} {one['status']}") for one in bills[:20]
    ]
    return Page("Billing portal", shown + _rows(rows) + _link(session["return_url"], "Back to the shop"))


def _subscription(subscription: Object) -> str:
    title = f"{subscription['items']['data'][0]['_title']}: {subscription['status']}"
    if subscription["status"] == "canceled":
        return f"<p>{escape(title)}</p>"
    hidden = f"<input type=hidden name=subscription value={escape(subscription['id'])}>"
    ends = subscription["cancel_at_period_end"]
    change = _button("resume", "Go on after all") if ends else _button("end", "End with this period")
    return f"<p>{escape(title)}{', ends with this period' if ends else ''}</p>" + _form(
        hidden, change, _button("now", "End now", quiet=True)
    )


def _change_subscription(world: World, subscription: Object, action: str) -> None:
    if action == "now":
        subscriptions.cancel(world, subscription)
        return
    changes = subscriptions.set_to_end(subscription, ends=action == "end", now=world.now())
    previous = changed(subscription, changes)
    world.emit("customer.subscription.updated", subscription, previous=previous)


def receipt(visit: Visit) -> Page:
    world, charge_id = visit.world, visit.id
    charge = world.get("charge", charge_id, account=world.owner("charge", charge_id))
    rows = [("Paid", money(charge["amount_captured"], charge["currency"]))]
    rows += [("Refunded", money(charge["amount_refunded"], charge["currency"]))] if charge["amount_refunded"] else []
    return Page(f"Receipt {charge['id']}", _rows(rows))


def invoice(visit: Visit) -> Page:
    world, invoice_id = visit.world, visit.id
    found = world.get("invoice", invoice_id, account=world.owner("invoice", invoice_id))
    rows = [(line["description"] or "", money(line["amount"], line["currency"])) for line in found["lines"]["data"]]
    total = ("Total", money(found["total"], found["currency"]))
    return Page(f"Invoice {found['number']} ({found['status']})", _rows([*rows, total]))


PAGES: dict[str, Show] = {
    "/pay/{id}": pay,
    "/onboard/{id}": onboard,
    "/express/{id}": express,
    "/portal/{id}": portal,
    "/receipts/{id}": receipt,
    "/invoices/{id}": invoice,
}
