"""Secrets and people's texts, marked, sent through everything that can go wrong: no log and no problem shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.raw import Talk
from tests.support.running import (
    LISTING,
    Person,
    assert_ledger_whole,
    clean_environment,
    command,
    eventually,
    published_listing,
)
from tests.support.service import Service, serving
from tests.support.waiving import WAIVED

MARK = "c4n4ry"
SETTINGS = {
    "STRIPE_WEBHOOK_SECRET": f"whsec_{MARK}-webhook-new,whsec_{MARK}-webhook-old",
    "STRIPE_SECRET_KEY": f"sk_test_{MARK}-stripe-key",
    "STRIPE_CONNECT_WEBHOOK_SECRET": f"whsec_{MARK}-connect",
    "SECRET_KEY": f"{MARK}-root-key-of-at-least-32-characters,{MARK}-former-root-key-of-32-characters",
    "METRICS_TOKEN": f"{MARK}-metrics",
    "LLM_API_KEY": f"{MARK}-llm",
    "LLM_MODEL": "a-model",
    "LLM_PRICES": "a-model=1/1",
    "SMTP_URL": f"smtp://user:{MARK}-smtp@127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:9",  # nobody listens there, so Stripe cannot be reached
}
TEXT = f"{MARK}-text {{{{article}}}}"


@dataclass
class Seen:
    """Every answer that came, and what must be in none of the logs and problems."""

    service: Service
    problems: list[httpx.Response] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    def send(self, person: Person, method: str, path: str, **sent: Any) -> httpx.Response:
        response = person.client.request(method, path, **sent)
        if response.status_code >= 400:
            self.problems.append(response)
        return response

    def logs(self) -> dict[str, str]:
        """Whatever is written to be read by operators."""
        files = [self.service.directory / "service.log", *self.service.mongo_directory.glob("mongod.*")]
        return {path.name: path.read_text(errors="replace") for path in files}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with serving(tmp_path_factory.mktemp("secrets"), LOG_LEVEL="debug", **SETTINGS) as service:
        found = Seen(service)
        found.secrets.add((service.mongo_directory / "password").read_text())
        for story in (_identity, _texts, _money, _malformed, _database_away):
            story(found)
        yield found
        assert_ledger_whole(service)


def _identity(seen: Seen) -> None:
    """Tokens and keys: good ones, bad ones, in the wrong place."""
    ada = seen.service.person("ada", Role.SELLER)
    token = ada.client.headers["authorization"].removeprefix("Bearer ")
    seen.secrets.add(token)
    made = ada.post("/users/me/api-keys", {"name": "program", "scopes": ["prompts:read"]}, expect=201)
    seen.secrets.add(made["secret"])
    program = seen.service.person("")
    program.client.headers["authorization"] = f"Bearer {made['secret']}"
    assert seen.send(program, "GET", "/prompts").status_code == 200
    assert seen.send(program, "POST", "/prompts", json={"name": "x"}).status_code == 403
    visitor = seen.service.person("")
    bad = [
        f"Bearer {MARK}.{MARK}.{MARK}",
        f"Bearer {token[:-5]}{MARK}",
        f"Bearer {made['secret'][:-1]}x",
        f"Basic {MARK}",
        f"{MARK}",
        f"Bearer {MARK} {MARK}",
    ]
    for header in bad:
        assert seen.send(visitor, "GET", "/users/me", headers={"authorization": header}).status_code == 401
    seen.secrets.add(made["secret"][:-1])
    for path in (f"/prompts?token={token}", f"/users/me?unknown={MARK}", f"/prompts?cursor={MARK}"):
        assert seen.send(ada, "GET", path).status_code in {400, 422}
    headers = {"cookie": f"session={MARK}", "x-api-key": MARK, "referer": f"https://example.com/?{MARK}"}
    assert seen.send(ada, "GET", "/prompts", headers=headers).status_code == 200
    assert seen.send(ada, "GET", "/prompts", headers={"if-none-match": MARK}).status_code == 200


def _texts(seen: Seen) -> None:
    """What people write, in requests that succeed and in those that do not."""
    ada, mona = seen.service.person("ada", Role.SELLER), seen.service.person("mona", Role.MODERATOR)
    prompt = ada.post("/prompts", {"name": "Taken", "description": f"{MARK}-description"}, expect=201)
    path = f"/prompts/{prompt['id']}"
    ada.post(f"{path}/versions", {"content": TEXT, "message": f"{MARK}-message"}, expect=201)
    wrong: list[Callable[[], httpx.Response]] = [
        lambda: seen.send(ada, "POST", "/prompts", json={"name": "Taken", "description": MARK}),
        lambda: seen.send(ada, "POST", "/prompts", json={"name": [MARK], "kind": MARK, "tags": MARK}),
        lambda: seen.send(ada, "POST", "/prompts", json={"name": MARK * 100, "folder": f"//{MARK}"}),
        lambda: seen.send(ada, "POST", "/prompts", content=f'{{"name": "{MARK}'),
        lambda: seen.send(ada, "POST", "/prompts", content=f'{{"name": "{MARK}", "name": "{MARK}"}}'),
        lambda: seen.send(ada, "POST", f"{path}/versions", json={"content": MARK * 60_000}),
        lambda: seen.send(ada, "POST", f"{path}/versions", json={"content": MARK * 200_000}),
        lambda: seen.send(ada, "POST", f"{path}/versions", json={"content": [{"role": MARK, "content": TEXT}]}),
        lambda: seen.send(ada, "POST", f"{path}/versions", json={"content": TEXT + "!", "base_version": 7}),
        lambda: seen.send(ada, "PATCH", path, json={"name": f"{MARK}-2"}, headers={"if-match": f'"{MARK}"'}),
        lambda: seen.send(ada, "PATCH", path, json={"tags": [MARK] * 50}),
        lambda: seen.send(mona, "GET", path),
    ]
    for attempt in wrong:
        assert 400 <= attempt().status_code < 500
    key = {"idempotency-key": f"{MARK}-once"}
    assert seen.send(ada, "POST", "/prompts", json={"name": f"{MARK}-once"}, headers=key).status_code == 201
    assert seen.send(ada, "POST", "/prompts", json={"name": f"{MARK}-twice"}, headers=key).status_code == 422
    title = {**LISTING, "title": f"{MARK} title", "description": f"{MARK} words", "prompt_id": prompt["id"]}
    listing = ada.post("/marketplace/listings", title, expect=201)
    ada.post(f"/marketplace/listings/{listing['id']}/submit")
    case = eventually(lambda: mona.get("/moderation/cases")["items"])[0]
    decision = {"decision": "reject", "reason_code": "misleading", "public_note": MARK, "internal_note": MARK}
    mona.post(f"/moderation/cases/{case['id']}/claim")
    mona.post(f"/moderation/cases/{case['id']}/decision", decision)
    other = {**decision, "public_note": f"{MARK} again"}
    assert seen.send(mona, "POST", f"/moderation/cases/{case['id']}/decision", json=other).status_code == 409


def _money(seen: Seen) -> None:
    """A sale, and Stripe: out of reach, and with signatures that are not good."""
    carla, mona = seen.service.person("carla", Role.SELLER), seen.service.person("mona", Role.MODERATOR)
    bruno = seen.service.person("bruno")
    listing = published_listing(seen.service, carla, mona, name=f"{MARK}-sold", price="0")
    bought = bruno.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "0"}, expect=201)
    assert MARK in json.dumps(bruno.get(f"/marketplace/purchases/{bought['id']}"))  # the buyer does see it
    pack = bruno.get("/billing/packs")["packs"][0]["id"]
    assert seen.send(bruno, "POST", "/billing/checkouts", json={"pack_id": pack, **WAIVED}).status_code in {502, 503}
    for secret in (f"whsec_{MARK}-other", f"whsec_{MARK}-webhook-new"):
        event = {"id": f"evt_{MARK}", "object": "event", "type": "ping", "data": {"object": {"email": MARK}}}
        response = seen.service.send_event(json.dumps(event), secret=secret)
        if response.status_code >= 400:
            seen.problems.append(response)
    for signature in (f"t=1,v1={MARK}", MARK):
        response = seen.service.send_event(f'{{"{MARK}": 1}}', signature=signature)
        assert response.status_code == 400
        seen.problems.append(response)


def _malformed(seen: Seen) -> None:
    """Heads that the server itself refuses."""
    for head in (
        f"GET /?{MARK} HTTP/9.9\r\nhost: a\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: {MARK}\r\n folded: {MARK}\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: a\r\n{MARK}\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: {MARK * 10_000}\r\n\r\n",
    ):
        with Talk(seen.service.port) as talk:
            talk.say(head.encode())
            (refused,) = talk.rest()
            assert refused.status >= 400
            assert MARK not in refused.body.decode() + repr(refused.headers)


def _database_away(seen: Seen) -> None:
    """The errors of drivers tell a lot."""
    ada = seen.service.person("ada", Role.SELLER)
    with seen.service.mongod_kept_away():
        responses = [
            seen.send(ada, "POST", "/prompts", json={"name": f"{MARK}-lost"}),
            seen.send(ada, "GET", "/users/me/credits"),
            seen.send(ada, "POST", "/prompts", json={"name": f"{MARK}-3"}, headers={"idempotency-key": MARK}),
        ]
    assert {response.status_code for response in responses} == {503}
    eventually(lambda: seen.service.visitor.get("/health/ready").status_code == 200)


def test_no_log_shows_a_secret_or_a_text(seen: Seen) -> None:
    logs = seen.logs()
    assert logs["service.log"].count("http.request") > 40
    assert len(logs["mongod.log"]) > 1000
    for name, text in logs.items():
        for secret in {MARK, *seen.secrets}:
            lines = [line for line in text.splitlines() if secret in line]
            assert lines == [], f"{name} shows {secret[:12]}"


def test_no_problem_shows_a_secret_or_a_text(seen: Seen) -> None:
    assert len(seen.problems) > 30
    for problem in seen.problems:
        assert problem.headers["content-type"] == "application/problem+json"
        told = problem.text + repr(problem.headers.raw)
        for secret in {MARK, *seen.secrets}:
            assert secret not in told, f"{problem.request.method} {problem.request.url}: {problem.text}"


def test_operators_see_neither_secrets_nor_texts(seen: Seen) -> None:
    otto = seen.service.person("otto", Role.OPERATOR)
    paths = (
        "/jobs?limit=100",
        "/ops/actors",
        "/ops/dead-letters",
        "/ops/audit-log?limit=100",
        "/billing/webhook-events",
    )
    for path in paths:
        told = otto.client.get(path)
        assert told.status_code == 200, path
        shown = told.text.replace(f"evt_{MARK}", "")  # an event's id is what operators look for
        for secret in {MARK, *seen.secrets}:
            assert secret not in shown, path
    metrics = seen.service.visitor.get("/metrics", headers={"authorization": f"Bearer {MARK}-metrics"})
    assert metrics.status_code == 200
    assert MARK not in metrics.text + seen.service.visitor.get("/health").text


def test_doctor_tells_which_settings_there_are_but_no_secret(tmp_path: Path) -> None:
    told = command("doctor", "--data-dir", str(tmp_path), **SETTINGS)
    assert "METRICS_TOKEN" in told.stdout
    assert MARK not in told.stdout + told.stderr


_FAILING = """
import logging, sys, structlog
from promptforge.deploy.logs import configure_logs

def fail(secret):
    token = {"authorization": secret}
    raise ValueError("something else")

configure_logs("debug", readable=sys.argv[1] == "readable")
for log in (structlog.get_logger("a").exception, logging.getLogger("hypercorn.error").exception):
    try:
        fail(sys.stdin.read() or "c4n4ry")
    except ValueError:
        log("it failed")
"""


@pytest.mark.parametrize("form", ["json", "readable"])
def test_tracebacks_show_no_values_of_variables(form: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _FAILING, form],
        input=MARK,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr.count("ValueError: something else") == 2
    assert MARK not in told.stderr
