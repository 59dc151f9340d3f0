from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from promptforge.core.messages import Access
from promptforge.core.runtime import System
from promptforge.deploy.features import ACTOR_TYPES
from promptforge.http import health, tables
from promptforge.http.auth import Authenticator
from promptforge.http.binding import Binder, description_of
from promptforge.http.body import BodyLimits
from promptforge.http.disconnects import Disconnects
from promptforge.http.endpoint import Edge, Endpoint
from promptforge.http.examples import UNTOLD
from promptforge.http.openapi import document
from promptforge.http.rates import Rates
from promptforge.http.routing import MessageClass, Route, check
from tests.unit.http.sample import Known, serving

pytestmark = pytest.mark.anyio

PRODUCT = tables.routes

Json = dict[str, Any]  # Any: JSON


@pytest.fixture
async def described() -> Json:
    async with serving() as service:
        found: Json = (await service.client.get("/api/v1/openapi.json")).json()
    return found


@pytest.fixture(scope="module")
def product() -> Json:
    return document([(route, Binder(route)) for route in PRODUCT], version="1")


def operations(described: Json) -> dict[str, Json]:
    return {operation["operationId"]: operation for item in described["paths"].values() for operation in item.values()}


async def test_the_document_is_valid(described: Json) -> None:
    OpenAPIV31SpecValidator(described).validate()


def test_the_products_document_is_valid(product: Json) -> None:
    OpenAPIV31SpecValidator(product).validate()


def handled_messages() -> dict[MessageClass, str]:
    """Every message that an actor of the product handles, and which."""
    return {handler.message: actor.__name__ for actor in ACTOR_TYPES for handler in actor.handlers().values()}


def test_the_products_tables_can_be_served() -> None:
    check(PRODUCT, handled_messages())
    edge = Edge(System([]), Authenticator(Known(), Rates()), BodyLimits(), Disconnects(), Rates())
    readable = {route.shape: route for route in PRODUCT if route.method == "GET"}
    for route in PRODUCT:
        Endpoint(route, edge, readable)


def test_every_message_that_people_may_send_has_a_path() -> None:
    routed = {route.message for route in PRODUCT}
    for message, actor in handled_messages().items():
        if message.requirement is not None and message.requirement.access is not Access.INTERNAL:
            assert message in routed, f"{message.__name__}, which {actor} handles, is in no table"


@pytest.mark.parametrize("route", PRODUCT, ids=lambda route: f"{route.method} {route.path}")
def test_every_operation_of_the_product_says_what_it_does(route: Any) -> None:  # Any: a Route; ids want a callable
    assert description_of(route.message)


def test_schemas_have_names_that_make_good_types(product: Json) -> None:
    assert [name for name in product["components"]["schemas"] if not name.isalnum()] == []


async def test_an_operation_tells_its_parameters(described: Json) -> None:
    parameters = {p["name"]: p for p in operations(described)["listThings"]["parameters"]}
    assert parameters["limit"] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    }
    assert parameters["colour"]["schema"] == {"$ref": "#/components/schemas/Colour"}
    assert parameters["tags"]["schema"]["type"] == "array"
    thing_id, if_none_match = operations(described)["getThing"]["parameters"]
    assert (thing_id["in"], thing_id["required"], thing_id["schema"]["maxLength"]) == ("path", True, 40)
    assert (if_none_match["name"], if_none_match["in"]) == ("If-None-Match", "header")
    assert operations(described)["renameThing"]["parameters"][-1]["name"] == "If-Match"
    assert [p["name"] for p in operations(described)["createThing"]["parameters"]] == ["Idempotency-Key"]


def test_every_whole_number_in_an_address_tells_its_bounds(product: Json) -> None:
    numbers = {
        f"{name} {parameter['name']}": parameter["schema"]
        for name, operation in operations(product).items()
        for parameter in operation.get("parameters", [])
        if parameter["schema"].get("type") == "integer"
    }
    assert numbers["listDatasetItems revision"]["maximum"] == 2**63 - 1
    assert [name for name, schema in numbers.items() if not {"minimum", "maximum"} <= schema.keys()] == []


async def test_an_operation_tells_its_body_with_an_example(described: Json) -> None:
    body = operations(described)["createThing"]["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/CreateThing"},
        "example": {
            "title": "Vase",
            "colour": "red",
            "size": {"width": 1, "labels": []},
            "count": 1,
            "notes": {},
        },
    }
    shape = described["components"]["schemas"]["CreateThing"]
    assert (shape["required"], shape["additionalProperties"]) == (["title"], False)
    assert operations(described)["renameThing"]["requestBody"]["required"] is False


async def test_an_operation_tells_its_replies(described: Json) -> None:
    schemas = described["components"]["schemas"]
    made = operations(described)["createThing"]["responses"]["201"]
    assert made["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ThingView"}
    assert "Location" in made["headers"]
    assert "content" not in operations(described)["deleteThing"]["responses"]["204"]
    assert set(schemas["ThingView"]["required"]) == {"id", "title", "colour", "made_at", "size"}
    assert schemas["ThingViewPage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/ThingView"}


async def test_an_operation_tells_its_errors(described: Json) -> None:
    found = {name: set(operation["responses"]) for name, operation in operations(described).items()}
    assert found["getThing"] == {"200", "304", "400", "401", "404", "405", "422", "429", "500", "503"}
    made = {"201", "400", "401", "402", "403", "405", "409", "412", "422", "429", "500", "503"}
    assert found["createThing"] == made | {"408", "413", "415"}
    out_of_stock = operations(described)["createThing"]["responses"]["402"]
    assert out_of_stock["description"] == "`out_of_stock`: There are no more of these"
    assert "WWW-Authenticate" in described["components"]["responses"]["Unauthenticated"]["headers"]


async def test_whatever_is_no_read_tells_that_if_match_can_fail_and_bodies_can_be_of_the_wrong_type(
    described: Json,
) -> None:
    shared = described["components"]["responses"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if "x-requires" in operation or operation["tags"] == ["sample"]:  # of a table
                assert ("412" in operation["responses"]) is (method != "get"), f"{method} {path}"
    wrong_type = shared["UnsupportedMediaType"]
    told = wrong_type["content"]["application/problem+json"]["examples"]
    assert {name: example["value"]["status"] for name, example in told.items()} == {
        "unsupported_media_type": 415,
        "unsupported_content_coding": 415,
    }
    assert "Accept-Encoding" in wrong_type["headers"]
    assert "precondition_failed" in shared["PreconditionFailed"]["content"]["application/problem+json"]["examples"]


async def test_an_operation_tells_who_may(described: Json) -> None:
    found = operations(described)
    assert found["getThing"]["security"] == [{}, {"bearer": []}]
    assert found["deleteThing"]["security"] == [{"bearer": []}]
    assert found["deleteThing"]["x-requires"] == {"roles": ["operator"], "scope": "things:write"}


async def test_the_docstring_is_summary_and_description(described: Json) -> None:
    operation = operations(described)["getThing"]
    assert operation["summary"] == "Read one thing"
    assert operation["description"].endswith("for the long description only.")


async def test_what_the_service_answers_fits_its_own_document(described: Json) -> None:
    schemas = {"components": described["components"]}
    async with serving() as service:
        answers = {
            "ThingView": await service.client.get("/api/v1/things/abc"),
            "ThingViewPage": await service.client.get("/api/v1/things"),
            "Problem": await service.client.get("/api/v1/things?limit=0&x=1"),
        }
    for name, response in answers.items():
        OAS31Validator({**schemas, "$ref": f"#/components/schemas/{name}"}).validate(response.json())


async def test_the_document_is_sent_once_to_who_keeps_it() -> None:
    async with serving() as service:
        first = await service.client.get("/api/v1/openapi.json")
        etag = first.headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            again = await service.client.get("/api/v1/openapi.json", headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
        other = await service.client.get("/api/v1/openapi.json", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


class Links(HTMLParser):
    """Where a page points, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if target := values.get("href") or values.get("src"):
            self.targets.add(target)
        if tag in {"script", "link", "img", "iframe"}:
            self.loaded.append(tag)


async def test_the_docs_load_from_here_only_and_what_they_load_is_there() -> None:
    async with serving() as service:
        response = await service.client.get("/docs")
        page = Links()
        page.feed(response.text)
        for target in page.targets:
            assert (await service.client.get(target)).status_code == 200, target
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert page.loaded == ["link", "link", "script", "script"]
    assert all(target.startswith("/") for target in page.targets)
    assert response.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def test_a_large_file_is_compressed_once() -> None:
    async with serving() as service:
        plain = await service.client.get("/docs/swagger-ui-bundle.js", headers={"accept-encoding": "br, gzip;q=0"})
        first, second = [await service.client.get("/docs/swagger-ui-bundle.js") for _ in range(2)]
        known = await service.client.get("/docs/swagger-ui-bundle.js", headers={"if-none-match": first.headers["etag"]})
    assert [response.headers.get("content-encoding") for response in (plain, first, second)] == [None, "gzip", "gzip"]
    assert plain.content == first.content == second.content
    assert {response.headers["vary"] for response in (plain, first, second)} == {"Accept-Encoding"}
    assert (known.status_code, known.content) == (304, b"")


def contents(product: Json) -> list[tuple[str, Json]]:
    """Every body, reply and problem of the product, with where it is."""
    found: list[tuple[str, Json]] = []
    for name, operation in operations(product).items():
        sides = {"body": operation.get("requestBody", {}), **operation["responses"]}
        found += [(f"{name} {side}", kind) for side, part in sides.items() for kind in part.get("content", {}).values()]
    for name, response in product["components"]["responses"].items():
        found += [(name, kind) for kind in response["content"].values()]
    return found


def examples(content: Json) -> list[Json]:
    return [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]


def test_everything_that_is_sent_has_a_valid_example(product: Json) -> None:
    seen = 0
    for where, content in contents(product):
        shown = examples(content)
        assert shown, where
        for example in shown:
            seen += 1
            schema = {**content["schema"], "components": product["components"]}
            errors = [error.message for error in OAS31Validator(schema).iter_errors(example)]
            assert errors == [], f"{where}: {example}"
    assert seen > 130


def test_no_text_of_an_example_is_made_up(product: Json) -> None:
    """Else http/examples.py has to be told of it, or the field of its example."""
    for where, content in contents(product):
        for example in examples(content):
            assert UNTOLD not in texts(example), f"{where}: {example}"


def test_what_sealing_cannot_do_is_said_where_runs_are_offered(product: Json) -> None:
    for told in (operations(product)["createListing"], product["components"]["schemas"]["RunTerms"]):
        assert "verbatim copies" in told["description"]
        assert "paraphrase" in told["description"]


def texts(value: Any) -> set[str]:  # Any: JSON
    if isinstance(value, dict):
        return set().union(*(texts(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(texts(item) for item in value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize(
    "route",
    [route for route in PRODUCT if route.takes_body and route.upload is None],
    ids=lambda route: route.operation,
)
def test_the_example_of_a_body_is_a_request_that_can_be_read(product: Json, route: Route) -> None:
    operation = operations(product)[route.operation]
    path = {known["name"]: str(known["example"]) for known in operation.get("parameters", ()) if known["in"] == "path"}
    body = operation.get("requestBody")
    sent = b"" if body is None else json.dumps(body["content"]["application/json"]["example"]).encode()
    Binder(route).bind(path, b"", sent)


def test_every_answer_of_the_tables_tells_the_headers_that_clients_need(product: Json) -> None:
    common = {"RateLimit", "RateLimit-Policy", "X-Request-ID"}
    responses = product["components"]["responses"]
    for name, operation in operations(product).items():
        if name not in {route.operation for route in PRODUCT}:
            continue
        keyed = "Idempotency-Key" in {known["name"] for known in operation.get("parameters", [])}
        for status, response in operation["responses"].items():
            told = responses[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
            assert common <= set(told["headers"]), f"{name} {status}"
            if status.startswith("2"):
                assert ("Idempotency-Replayed" in told["headers"]) is keyed, f"{name} {status}"
            if keyed and status in {"409", "422"}:
                code = {"409": "request_still_running", "422": "idempotency_key_reused"}[status]
                assert code in told["content"]["application/problem+json"]["examples"], f"{name} {status}"
        assert "405" in operation["responses"], name


def test_the_example_of_health_names_what_the_service_names() -> None:
    answers = health.PATHS["/health"]["get"]["responses"]
    assert "mongodb" in answers["503"]["content"]["application/json"]["example"]
