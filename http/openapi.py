"""The OpenAPI 3.1 document, generated from the same route tables that are served: it cannot say anything else."""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, get_args

import orjson
from pydantic import TypeAdapter

from promptforge.core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PromptForgeError,
    Unauthenticated,
    Unavailable,
)
from promptforge.core.messages import Access, Command, Requirement
from promptforge.core.sheets import Sheet
from promptforge.http.binding import Binder, description_of
from promptforge.http.body import MAX_INT64, MIN_INT64
from promptforge.http.errors import (
    BodyTooLarge,
    BodyTooSlow,
    KeyReused,
    MethodNotAllowed,
    PreconditionFailed,
    RangeNotSatisfiable,
    StillRunning,
    TooManyRequests,
    UnsupportedContentCoding,
    UnsupportedMediaType,
)
from promptforge.http.examples import example
from promptforge.http.problems import TYPE_PREFIX, render
from promptforge.http.routing import API_PREFIX, EDIT_METHODS, Route
from promptforge.http.schemas import PREFIX, Input, Schema, Schemas

DESCRIPTION = """\
Write, version, test and sell prompts.

Every error is an RFC 9457 problem document (`application/problem+json`) with a stable `code`, the `request_id`, and
whether trying again can help (`retryable`). Who asks more often than the `RateLimit-Policy` of a response allows is
answered 429, with `Retry-After`; `RateLimit` says how much is left (`r`) and for how long (`t`, seconds). Lists are
pages: `next` is the `cursor` of the following one. Credits are
decimal strings with up to three places. Whole numbers in addresses are written in digits (`100`, not `1e2`, `100.0` or
`+100`)."""

PROBLEM: Schema = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id", "trace_id", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": [TYPE_PREFIX + "not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 300, "maximum": 599},
        "detail": {"type": "string", "description": "What happened here, for people"},
        "code": {"type": "string", "description": "What happened, for programs; stable", "examples": ["not_found"]},
        "request_id": {"type": "string"},
        "trace_id": {"type": "string", "description": "Of the request's W3C `traceparent`, or made here"},
        "retryable": {"type": "boolean", "description": "Whether the same request can succeed later"},
        "errors": {
            "type": "array",
            "description": "Every field that is not valid",
            "items": {"$ref": PREFIX + "FieldProblem"},
        },
    },
}
FIELD_PROBLEM: Schema = {
    "title": "FieldProblem",
    "type": "object",
    "required": ["detail", "code"],
    "properties": {
        "pointer": {"type": "string", "description": "RFC 6901 pointer into the body", "examples": ["/tags/0"]},
        "parameter": {"type": "string", "description": "Name of the path or query parameter", "examples": ["limit"]},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["missing"]},
    },
}

_A_FIELD = FieldError("This is required", "missing", "/name")
_REQUEST_ID = "req_01k8y3w5q2m7t9x4c6v1b8n0rb"
_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

_RETRY_AFTER = {"schema": {"type": "integer"}, "description": "Seconds after which to try again"}
_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "`Bearer`, and what is wrong (RFC 6750)"}},
    405: {"Allow": {"schema": {"type": "string"}, "description": "The methods that this path knows"}},
    415: {
        "Accept-Encoding": {
            "schema": {"type": "string"},
            "description": "`identity`, where it is the coding",
        }
    },
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}


def problem_content(errors: Iterable[type[PromptForgeError]]) -> Schema:
    """The content of a response that tells one of these errors, with an example of each."""
    schema = {"$ref": PREFIX + "Problem"}
    return {"application/problem+json": {"schema": schema, "examples": {e.code: _problem_example(e) for e in errors}}}


def _problem_example(error: type[PromptForgeError]) -> Schema:
    raised = Invalid("One field is not valid", errors=(_A_FIELD,)) if error is Invalid else error()
    rendered = render(raised, _REQUEST_ID, _TRACE_ID)
    return {"summary": error.title, "value": orjson.loads(rendered.body)}


def _header(name: str, description: str, **schema: object) -> Schema:
    text = {"type": "string", **schema}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": text}


_IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "Sent again with the same key within a day, the request gets the reply it got and has no second effect",
    minLength=1,
    maxLength=255,
    pattern="^[!-~]+$",
)
_IF_MATCH = _header(
    "If-Match",
    "The ETag of what is to be changed; 412 where it has changed since",
    pattern=r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$',
)
_IF_NONE_MATCH = _header("If-None-Match", "The ETag of what is known already; 304 where nothing has changed")
_TEXT = {"type": "string"}
_INT64 = {"minimum": MIN_INT64, "maximum": MAX_INT64}
_RANGE = _header("Range", "Which bytes: one range, such as `bytes=1048576-`; anything else is answered with the whole")
_IF_RANGE = _header("If-Range", "The ETag of what is there of the file already; another file is answered whole")
_COMMON_HEADERS = {
    name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy", "X-Request-ID")
}
_ETAG = {"ETag": {"$ref": "#/components/headers/ETag"}}
_REPLAYED = {"Idempotency-Replayed": {"$ref": "#/components/headers/Idempotency-Replayed"}}
_RESPONSE_HEADERS: Schema = {
    "ETag": {"schema": _TEXT, "description": "Names this content; weak (`W/`) where it may be compressed"},
    "Idempotency-Replayed": {
        "schema": {"const": "true"},
        "description": "This is the reply that an earlier request with this Idempotency-Key got",
    },
    "RateLimit": {"schema": _TEXT, "description": "What is left of the budget: requests (`r`), for seconds (`t`)"},
    "RateLimit-Policy": {"schema": _TEXT, "description": "The budget: requests (`q`) in seconds (`w`)"},
    "X-Request-ID": {"schema": _TEXT, "description": "The request's id: the one that was sent, or one made here"},
}

EVENTS = """Done. Whole as JSON or, where `Accept` names `text/event-stream`, piece by piece: events `delta` with a
`text` each, and then `done` with all of this as JSON, or `error` with a problem document."""
_PIECE = 'event: delta\ndata: {"text":"%s"}\n\n'
EVENTS_SHAPE = _PIECE % "The " + _PIECE % "answer" + "event: done\ndata: "
_NOTICE = '{"id":"ntf_01k8y3w5q2m7t9x4c6v1b8n0ra","kind":"listing.sold","title":"Sold","body":"…","subject":{},…}'
_FOLLOWED = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": f"id: 41\nevent: ready\ndata: {{}}\n\nid: 42\nevent: notification\ndata: {_NOTICE}\n\n",
    }
}

_DONE = {200: "Done", 201: "Made", 202: "Started, as a job"}

Table = Sequence[tuple[Route, Binder]]


def document(table: Table, *, version: str, extra_paths: dict[str, Any] | None = None) -> dict[str, Any]:  # Any: JSON
    """The document for these routes; `extra_paths` describe the endpoints written by hand."""
    schemas = Schemas(_inputs(table))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    readable = {route.shape for route, _ in table if route.method == "GET"}
    for route, binder in table:
        guarded = route.method in EDIT_METHODS and route.shape in readable
        described = _operation(route, binder, schemas, guarded=guarded)
        paths[API_PREFIX + route.path][route.method.lower()] = described
    standard: list[type[PromptForgeError]] = [Malformed, Unauthenticated, Forbidden, NotFound, BodyTooSlow, Conflict]
    standard += [
        MethodNotAllowed,
        PreconditionFailed,
        BodyTooLarge,
        UnsupportedMediaType,
        RangeNotSatisfiable,
        Invalid,
        TooManyRequests,
        Unavailable,
        PromptForgeError,
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PromptForge",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This service"}],
        "tags": _tags(table),
        "paths": {**(extra_paths or {}), **paths},
        "components": {
            "schemas": {**dict(sorted(schemas.components.items())), "Problem": PROBLEM, "FieldProblem": FIELD_PROBLEM},
            "headers": _RESPONSE_HEADERS,
            "responses": {_response_name(error): _response(error) for error in standard}
            | {
                "KeyedConflict": _response(Conflict, StillRunning),
                "KeyedInvalid": _response(Invalid, KeyReused),
                "UnsupportedMediaType": _response(UnsupportedMediaType, UnsupportedContentCoding),
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A Firebase ID token, or an API key",
                }
            },
        },
    }


def _inputs(table: Table) -> Iterable[Input]:
    for route, binder in table:
        if binder.parameters is not None:
            yield f"{route.operation} parameters", "validation", binder.parameters
        if binder.body is not None:
            yield f"{route.operation} body", "validation", binder.body
        if route.reply is not Sheet and not route.file:
            yield f"{route.operation} reply", "serialization", TypeAdapter(route.reply)


def _operation(route: Route, binder: Binder, schemas: Schemas, *, guarded: bool) -> Schema:
    requirement = route.message.requirement or Requirement(Access.INTERNAL)
    text = description_of(route.message)
    operation: Schema = {
        "operationId": route.operation,
        "tags": list(tags_of(route)),
        "summary": _summary(text) or _spoken(route.operation),
    }
    if text:
        operation["description"] = text
    if requirement.access is Access.PUBLIC:
        operation["security"] = [{}, {"bearer": []}]
    else:
        operation["security"] = [{"bearer": []}]
        operation["x-requires"] = {"roles": sorted(requirement.roles), "scope": requirement.scope}
    parameters = _headers_of(route, guarded=guarded)
    if binder.parameters is not None:
        parameters = [
            *_parameters(route, schemas.take(f"{route.operation} parameters", "validation")),
            *parameters,
        ]
    if parameters:
        operation["parameters"] = parameters
    if binder.body is not None:
        operation["requestBody"] = _request_body(route, binder, schemas)
    elif route.upload is not None:
        content = {route.upload.media_type: {"schema": {"type": "string", "format": "binary"}, "example": "PK…"}}
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = {**_success(route, schemas), **_failures(route, requirement)}
    return operation


def _headers_of(route: Route, *, guarded: bool) -> list[Schema]:
    """The request headers that change what the operation does."""
    if is_keyed(route):
        return [_IDEMPOTENCY_KEY]
    if guarded:
        return [_IF_MATCH]
    if route.file:
        return [_IF_NONE_MATCH, _RANGE, _IF_RANGE]
    kept = route.method == "GET" and not (route.live or route.followed or route.reply is Sheet)
    return [_IF_NONE_MATCH] if kept else []


def is_keyed(route: Route) -> bool:
    """Whether it takes an Idempotency-Key."""
    return route.method == "POST" and issubclass(route.message, Command)


def _parameters(route: Route, shape: Schema) -> list[Schema]:
    required = shape.get("required", [])
    in_path = route.parameters
    names = [*in_path, *(name for name in shape["properties"] if name not in in_path)]
    return [_parameter(name, shape["properties"][name], name in in_path, name in required) for name in names]


def _parameter(name: str, schema: Schema, in_path: bool, required: bool) -> Schema:  # noqa: FBT001
    schema = dict(schema)
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:  # absent is how a parameter says null
        del schema["anyOf"]
        schema = {**options[0], **schema}
    if schema.get("default", ...) is None:
        del schema["default"]
    if schema.get("type") == "integer":
        schema = {**_INT64, **schema}
    parameter: Schema = {"name": name, "in": "path" if in_path else "query", "required": in_path or required}
    if in_path:
        parameter["example"] = example(schema, {}, name)
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    return {**parameter, "schema": schema}


def _request_body(route: Route, binder: Binder, schemas: Schemas) -> Schema:
    schema = schemas.of(f"{route.operation} body", "validation")
    content = {"schema": schema, "example": example(schema, schemas.components)}
    return {"required": binder.body_required, "content": {"application/json": content}}


def _success(route: Route, schemas: Schemas) -> Schema:
    reply: Any = route.reply  # Any: the reply's type as declared
    responses: Schema = {}
    headers = {**_COMMON_HEADERS, **(_REPLAYED if is_keyed(route) else {})}
    if route.live:
        shape = schemas.of(f"{route.operation} reply", "serialization")
        text = "Server-sent events. Each event `reply` has this in its data, as JSON, whenever it has changed."
        stream = {"schema": shape, "example": example(shape, schemas.components)}
        return {"200": {"description": text, "headers": headers, "content": {"text/event-stream": stream}}}
    if route.followed:
        return {"200": {"description": "Server-sent events", "headers": headers, "content": _FOLLOWED}}
    if reply is Sheet:
        disposition = {"Content-Disposition": {"schema": {"type": "string"}, "description": "The file's name"}}
        file = {"text/csv": {"schema": {"type": "string"}, "example": "seller_id,sales\r\nusr_1,3\r\n"}}
        text = "A CSV file (RFC 4180) with a header. What spreadsheets would take for a formula has a ' in front."
        return {"200": {"description": text, "headers": {**headers, **disposition}, "content": file}}
    if route.file:
        return _file(headers)
    if reply not in (None, NoneType):
        schema = schemas.of(f"{route.operation} reply", "serialization")
        options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
        shape = options[0] if len(options) == 1 else schema
        content = {"application/json": {"schema": shape, "example": example(shape, schemas.components)}}
        own: Schema = {}
        done = _DONE.get(route.status, "Done")
        if route.streamed:
            text = f"{EVENTS_SHAPE}{orjson.dumps(content['application/json']['example']).decode()}\n\n"
            content["text/event-stream"] = {"schema": {"type": "string"}, "example": text}
            done = EVENTS
        if route.method == "GET":
            own = _ETAG
            unchanged = "What If-None-Match names is what it still is"
            responses["304"] = {"description": unchanged, "headers": {**headers, **_ETAG}}
        if route.status == 201 or route.location is not None:
            location = {"schema": {"type": "string", "format": "uri-reference"}, "description": "Where it is"}
            own = {"Location": location}
        response: Schema = {"description": done, "headers": {**headers, **own}, "content": content}
        if route.repeatable:
            responses["200"] = {**response, "description": "There is one already: this"}
        responses[str(route.status)] = response
    if reply in (None, NoneType) or NoneType in get_args(reply):
        responses["204"] = {"description": "Done, and there is nothing to say", "headers": headers}
    return responses


def _file(headers: Schema) -> Schema:
    """The responses that are a file, or a part of it."""
    shape = {"type": "string", "format": "binary"}
    binary = {"*/*": {"schema": shape, "example": "id,amount\r\n1,5\r\n"}}
    own = {**headers, **_ETAG, **{name: {"schema": _TEXT} for name in ("Accept-Ranges", "Content-Disposition")}}
    part = {**own, "Content-Range": {"schema": _TEXT, "description": "Which bytes of how many"}}
    return {
        "200": {"description": "The whole file, as an attachment of its own type", "headers": own, "content": binary},
        "206": {"description": "The part that Range asks for", "headers": part, "content": binary},
        "304": {"description": "What If-None-Match names is what it still is", "headers": {**headers, **_ETAG}},
    }


def _failures(route: Route, requirement: Requirement) -> Schema:
    standard: list[type[PromptForgeError]] = [
        Malformed,
        Unauthenticated,
        MethodNotAllowed,
        TooManyRequests,
        Unavailable,
    ]
    standard.append(PromptForgeError)
    if requirement.access is not Access.PUBLIC:
        standard.append(Forbidden)
    if route.parameters:
        standard.append(NotFound)
    if issubclass(route.message, Command):
        standard.append(Conflict)
    if route.file:
        standard.append(RangeNotSatisfiable)
    if route.takes_body:
        standard += [BodyTooSlow, BodyTooLarge, UnsupportedMediaType]
    if route.method != "GET":  # with If-Match, also where nothing at the path has an ETag
        standard.append(PreconditionFailed)
    standard.append(Invalid)  # unknown parameters and fields are refused everywhere
    responses: Schema = {
        str(error.status): {"$ref": f"#/components/responses/{_response_name(error)}"} for error in standard
    }
    keyed: tuple[type[PromptForgeError], ...] = (StillRunning, KeyReused) if is_keyed(route) else ()
    if keyed:
        responses["409"] = {"$ref": "#/components/responses/KeyedConflict"}
        responses["422"] = {"$ref": "#/components/responses/KeyedInvalid"}
    for status in {error.status for error in route.errors}:
        codes = [error for error in (*standard, *keyed, *route.errors) if error.status == status]
        responses[str(status)] = _response(*codes)
    return dict(sorted(responses.items()))


def _response_name(error: type[PromptForgeError]) -> str:
    return "InternalError" if error is PromptForgeError else error.__name__


def _response(*errors: type[PromptForgeError]) -> Schema:
    """The response that tells one of these errors, which have one status."""
    told = "; ".join(f"`{error.code}`: {error.title}" for error in errors)
    headers = {**_COMMON_HEADERS, **_HEADERS.get(errors[0].status, {})}
    return {"description": told, "content": problem_content(errors), "headers": headers}


def tags_of(route: Route) -> tuple[str, ...]:
    """The feature's name, unless the table says otherwise."""
    return route.tags or (route.message.message_kind.partition(".")[0],)


def _tags(table: Table) -> list[Schema]:
    described: dict[str, Schema] = {}
    for route, _ in table:
        for tag in tags_of(route):
            text = _package_docstring(route.message) if not route.tags else ""
            described.setdefault(tag, {"name": tag, **({"description": text} if text else {})})
    return list(described.values())


def _package_docstring(message: type) -> str:
    package = message.__module__.rpartition(".")[0]
    if not package:
        return ""
    return _summary((importlib.import_module(package).__doc__ or "").strip())


def _summary(text: str) -> str:
    """The first sentence."""
    paragraph = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return re.split(r"(?<=[.!?;:])\s", paragraph, maxsplit=1)[0].rstrip(".;:")


def _spoken(operation: str) -> str:
    """`createPrompt` → `Create prompt`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", operation).capitalize()
