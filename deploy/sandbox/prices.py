"""Products and prices, and what is asked to be paid: line items with a price or `price_data`."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.deploy.sandbox.currencies import read_currency
from promptforge.deploy.sandbox.forms import Params
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, invalid
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()
INTERVALS = ("day", "week", "month", "year")
OF_PRICES = (
    "active billing_scheme currency lookup_key metadata nickname product product_data recurring tax_behavior "
    "transfer_lookup_key unit_amount"
)


@dataclass(frozen=True, slots=True)
class Item:
    price: Object
    quantity: int
    title: str

    @property
    def amount(self) -> int:
        total: int = self.price["unit_amount"] * self.quantity
        return total


def new_product(world: World, name: str, *, account: str | None, description: str | None = None) -> Object:
    made: Object = {
        "id": world.new_id("prod", 14),
        "object": "product",
        "active": True,
        "created": world.now(),
        "default_price": None,
        "description": description,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": world.now(),
        "url": None,
    }
    return world.add(made, account=account)


@operations.post(
    "/products", "products.create", known="active description id images metadata name tax_code unit_label url"
)
def create_product(call: Call) -> Object:
    params = call.params
    product = new_product(call.world, params.text("name"), account=call.account, description=params.find("description"))
    product["metadata"] = params.metadata()
    call.world.emit("product.created", product, account=call.account)
    return product


@operations.get("/products/{id}", "products.retrieve")
def retrieve_product(call: Call) -> Object:
    return call.get("product")


@operations.post("/products/{id}", "products.update", known="active description metadata name")
def update_product(call: Call) -> Object:
    product, params = call.get("product"), call.params
    changes: Object = {name: params.find(name) for name in ("description", "name") if name in params}
    if "active" in params:
        changes["active"] = params.flag("active")
    previous = changed(product, {**changes, "metadata": params.metadata(product["metadata"])})
    call.world.emit("product.updated", product, account=call.account, previous=previous)
    return product


@operations.list("/products", "products.list")
def list_products(call: Call) -> Object:
    return listed(call, "product")


@operations.post("/prices", "prices.create", known=OF_PRICES)
def create_price(call: Call) -> Object:
    price = read_price(call, call.params)
    price["active"] = call.params.flag("active", default=True)
    price["nickname"], price["lookup_key"] = call.params.find("nickname"), call.params.find("lookup_key")
    price["metadata"] = call.params.metadata()
    call.world.emit("price.created", price, account=call.account)
    return price


@operations.get("/prices/{id}", "prices.retrieve")
def retrieve_price(call: Call) -> Object:
    return call.get("price")


@operations.list("/prices", "prices.list", known="currency product type")
def list_prices(call: Call) -> Object:
    return listed(call, "price", {"product": "product", "currency": "currency", "type": "type"})


def read_price(call: Call, params: Params) -> Object:
    """Make the price that `price_data` (or a request for a price) describes."""
    world = call.world
    currency, amount = read_currency(params), params.integer("unit_amount")
    if amount < 0:
        raise invalid("Invalid non-negative integer", param=params.name("unit_amount"))
    if params.find("product") is not None:
        product_id = world.get("product", params.text("product"), account=call.account, param=params.name("product"))[
            "id"
        ]
    else:
        data = params.part("product_data")
        product_id = new_product(world, data.text("name"), account=call.account, description=data.find("description"))[
            "id"
        ]
    recurring = params.part("recurring")
    repeats: Object | None = None
    if recurring.tree:
        repeats = {
            "interval": recurring.choice("interval", INTERVALS),
            "interval_count": recurring.find_integer("interval_count") or 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
    made: Object = {
        "id": world.new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": world.now(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product_id,
        "recurring": repeats,
        "tax_behavior": params.find("tax_behavior") or "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if repeats else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    return world.add(made, account=call.account)


def read_items(call: Call, name: str, *, known: str = "price price_data quantity") -> list[Item]:
    """What is to be paid, all in one currency. Raises `Refused`."""
    items = []
    for part in call.params.parts(name):
        part.check_known(known.split())
        if part.find("price") is not None:
            price = call.world.get("price", part.text("price"), account=call.account, param=part.name("price"))
        else:
            data = part.part("price_data")
            if not data.tree:
                raise part.missing("price")
            price = read_price(call, data)
        quantity = part.find_integer("quantity")
        quantity = 1 if quantity is None else quantity
        if not 1 <= quantity <= 999_999:
            raise invalid("Invalid positive integer", param=part.name("quantity"))
        product = call.world.get("product", price["product"], account=call.account)
        items.append(Item(price, quantity, product["name"]))
    if not items:
        raise call.params.missing(name)
    if len({item.price["currency"] for item in items}) > 1:
        raise invalid("All prices must have the same currency", param=name)
    return items
