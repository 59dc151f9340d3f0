"""The API documentation as one readable page, written from the OpenAPI document when the process starts.

It loads nothing: its style is inline and named by hash in the page's content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from html import escape
from typing import Any

from promptforge.http.problems import ProblemKind
from promptforge.http.schemas import PREFIX

Document = Mapping[str, Any]  # Any: JSON

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:3rem;border-bottom:1px solid var(--line)}
nav a{margin-right:1rem;white-space:nowrap}
article{border:1px solid var(--line);border-radius:.5rem;padding:0 1rem 1rem;margin:1rem 0}
h3{font:600 1rem ui-monospace,monospace}h3 b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .5rem;
border-bottom:1px solid var(--line)}
code,pre{font:.875rem ui-monospace,monospace}pre{background:var(--soft);padding:.5rem;overflow:auto}
small{opacity:.75}
""".strip()

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def page(document: Document, kinds: Mapping[str, ProblemKind]) -> bytes:
    """The whole page: operations by tag, schemas, and every problem code."""
    info = document["info"]
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            by_tag[operation["tags"][0]].append(_operation(method.upper(), path, operation))
    described = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    sections = [_section(tag, described.get(tag, ""), operations) for tag, operations in sorted(by_tag.items())]
    links = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in sorted(by_tag))
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title><style>{STYLE}</style></head>
<body><header><h1>{escape(info["title"])} API</h1><small>version {escape(info["version"])} ·
<a href="/api/v1/openapi.json">openapi.json</a></small>{_paragraphs(info["description"])}
<nav>{links} <a href="#schemas">schemas</a> <a href="#problems">problems</a></nav></header>
<main>{"".join(sections)}
<section id="schemas"><h2>Schemas</h2>{schemas}</section>
<section id="problems"><h2>Problems</h2>{_problems(kinds)}</section></main></body></html>
""".encode()


def _section(tag: str, description: str, operations: list[str]) -> str:
    head = f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>{_paragraphs(description)}'
    return f"{head}{''.join(operations)}</section>"


def _operation(method: str, path: str, operation: Document) -> str:
    parts = [
        f'<article id="{escape(operation["operationId"])}"><h3><b>{method}</b> {escape(path)}</h3>',
        _paragraphs(operation.get("description", operation["summary"])),
        f"<p><small>{_who(operation)}</small></p>",
        _parameters(operation.get("parameters", ())),
        _body(operation.get("requestBody")),
        _responses(operation["responses"]),
        "</article>",
    ]
    return "".join(parts)


def _who(operation: Document) -> str:
    requires = operation.get("x-requires")
    if requires is None:
        return "public"
    scope = f", API keys need <code>{escape(requires['scope'])}</code>" if requires["scope"] else ", no API keys"
    return f"role {escape(' or '.join(requires['roles']))}{scope}"


def _parameters(parameters: Any) -> str:  # Any: JSON
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}</td>"
        f"<td>{_kind(parameter['schema'])}{' · required' if parameter['required'] else ''}</td></tr>"
        for parameter in parameters
    )
    return f"<table><tr><th>parameter</th><th>in</th><th>value</th></tr>{rows}</table>"


def _body(body: Any) -> str:  # Any: JSON
    if body is None:
        return ""
    content = body["content"]["application/json"]
    example = ""
    if "example" in content:
        example = f"<pre>{escape(json.dumps(content['example'], indent=2, ensure_ascii=False))}</pre>"
    return f"<p>Body{'' if body['required'] else ' (optional)'}: {_kind(content['schema'])}</p>{example}"


def _responses(responses: Document) -> str:
    told = []
    for status, response in responses.items():
        reference = response.get("$ref", "").rpartition("/")[2]
        content = response.get("content", {}).get("application/json")
        kind = _kind(content["schema"]) if content else escape(reference or response.get("description", ""))
        told.append(f"<tr><td><code>{status}</code></td><td>{kind}</td></tr>")
    return f"<table><tr><th>answer</th><th></th></tr>{''.join(told)}</table>"


def _schema(name: str, schema: Document) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_kind(kind)}{'' if field in required else ' · optional'}"
        f"{' · ' + escape(kind['description']) if 'description' in kind else ''}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    )
    values = " · ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", ()))
    table = f"<table>{rows}</table>" if rows else f"<p>{values}</p>"
    head = f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
    return f"{head}{_paragraphs(schema.get('description', ''))}{table}</article>"


def _kind(schema: Document) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(PREFIX))
        return f'<a href="#schema-{name}">{name}</a>'
    for combined in ("anyOf", "oneOf"):
        if combined in schema:
            return " or ".join(_kind(option) for option in schema[combined])
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    limits = [
        f"{name} {escape(str(schema[name]))}"
        for name in ("format", "minLength", "maxLength", "minimum", "maximum", "pattern", "default")
        if name in schema
    ]
    return escape(str(schema.get("type", "any"))) + (f" <small>({', '.join(limits)})</small>" if limits else "")


def _problems(kinds: Mapping[str, ProblemKind]) -> str:
    rows = "".join(
        f'<tr id="problem-{escape(kind.code)}"><td>{kind.status}</td><td><code>{escape(kind.code)}</code></td>'
        f"<td>{escape(kind.title)}</td><td>{'retryable' if kind.retryable else ''}</td></tr>"
        for kind in kinds.values()
    )
    return f"<table><tr><th>status</th><th>code</th><th>meaning</th><th></th></tr>{rows}</table>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph.strip())
