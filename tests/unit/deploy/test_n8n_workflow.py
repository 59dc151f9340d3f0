"""The example workflow for n8n: it fits together, and takes what this service signs and nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from promptforge.actors.notifications.webhooks.domain import new_secret
from promptforge.actors.notifications.webhooks.sending import _signed
from tests.support.node_tools import NotInstalled, node_program

WORKFLOW = Path(__file__).resolve().parents[3] / "deploy" / "n8n" / "promptforge-notifications.json"
BODY = '{"data":{"id":"ntf_1","subject":{},"title":"Verkauft: Übersicht"},"type":"listing.sold"}'.encode()
_HARNESS = """
const fs = require('fs');
const AsyncFunction = Object.getPrototypeOf(async function () {}).constructor;
const { code, cases } = JSON.parse(fs.readFileSync(0, 'utf8'));
const memory = {};
(async () => {
  const run = new AsyncFunction('$input', '$env', '$getWorkflowStaticData', 'require', code);
  const answers = [];
  for (const one of cases) {
    const self = { helpers: { getBinaryDataBuffer: async () => Buffer.from(one.body, 'base64') } };
    const $input = { first: () => ({ json: { headers: one.headers } }) };
    const $env = { PROMPTFORGE_WEBHOOK_SECRET: one.secret };
    answers.push((await run.call(self, $input, $env, () => memory, require))[0].json);
  }
  process.stdout.write(JSON.stringify(answers));
})();
"""


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(WORKFLOW.read_text())
    return read


def verify(workflow: dict[str, Any], cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the workflow's own code says of each, one after the other."""
    (code,) = [node["parameters"]["jsCode"] for node in workflow["nodes"] if node["name"] == "Verify"]
    try:
        node = node_program()
    except NotInstalled as error:
        pytest.fail(str(error))
    given = json.dumps({"code": code, "cases": cases})
    done = subprocess.run([node, "-e", _HARNESS], input=given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def case(*secrets: str, receiver: str, event_id: str = "ntf_1", at: datetime | None = None, **changes: Any) -> Any:
    """Signed by this service's own code with `secrets`; `receiver` has one of them."""
    headers = {**_signed(event_id, BODY, secrets, at or datetime.now(UTC)), **changes.pop("headers", {})}
    return {"headers": headers, "body": base64.b64encode(changes.pop("body", BODY)).decode(), "secret": receiver}


def test_every_connection_leads_from_a_node_to_a_node(workflow: dict[str, Any]) -> None:
    names = [node["name"] for node in workflow["nodes"]]
    ids = [node["id"] for node in workflow["nodes"]]
    assert len(set(names)) == len(set(ids)) == len(names)
    reached = {one["node"] for way in workflow["connections"].values() for output in way["main"] for one in output}
    assert reached | {"PromptForge"} == set(names)
    assert set(workflow["connections"]) <= set(names)
    (webhook,) = [node for node in workflow["nodes"] if node["type"].endswith(".webhook")]
    assert webhook["parameters"]["options"]["rawBody"] is True, "what is signed are the bytes"


def test_it_takes_what_this_service_signs_and_nothing_else(workflow: dict[str, Any]) -> None:
    secret, other = new_secret(), new_secret()
    now = datetime.now(UTC)
    cases = [
        case(secret, receiver=secret),
        case(secret, receiver=secret),
        case(other, secret, receiver=secret, event_id="ntf_2"),
        case(other, receiver=secret),
        case(secret, receiver=secret, body=BODY.replace(b"ntf_1", b"ntf_9")),
        case(secret, receiver=secret, headers={"webhook-id": "ntf_3"}),
        case(secret, receiver=secret, at=now - timedelta(minutes=6)),
        case(secret, receiver=secret, at=now + timedelta(minutes=6)),
        case(secret, receiver=secret, headers={"webhook-signature": "v1,"}),
        case(secret, receiver=secret, headers={"webhook-signature": "v2,AAAA"}),
        case(secret, receiver=secret, headers={"webhook-signature": ""}),
        case(secret, receiver=""),
    ]
    answers = verify(workflow, cases)
    assert [(one["ok"], one["duplicate"]) for one in answers[:3]] == [(True, False), (True, True), (True, False)]
    assert answers[0]["event"] == json.loads(BODY)
    assert [one["ok"] for one in answers[3:]] == [False] * 9
    assert answers[6]["reason"] == answers[7]["reason"] == "the timestamp is too far from now"
