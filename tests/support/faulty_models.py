"""A server that speaks as OpenAI and Anthropic do and fails as they do: npm's aimock, started with scripted answers.

What a request gets depends on the words in its last message; `ANSWERS` says which.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.node_tools import node_tools
from tests.support.running import PATIENCE_SECONDS, PLAIN, free_port

LINE = "one two three four five six seven eight nine ten"
KINDS = ("openai", "anthropic")


def _error(status: int, code: str, **more: Any) -> dict[str, Any]:
    # The message quotes the request, as providers' do: it must not come through.
    return {
        "error": {"message": f"You sent: the secret text ({code})", "type": code, "code": code},
        "status": status,
    } | more


CRITERIA = ("clarity", "context", "constraints", "output_format", "robustness")
CRITIQUE = {
    "scores": [{"criterion": criterion, "score": 3, "reason": "It does."} for criterion in CRITERIA],
    "summary": "It is short.",
}
SUGGESTION = {"title": "Hello", "summary": "Says hello.", "tags": ["greeting"], "category": "writing"}
ANSWERS: dict[str, dict[str, Any]] = {
    "judge this": {"response": {"content": json.dumps(CRITIQUE)}},
    "describe this": {"response": {"content": json.dumps(SUGGESTION)}},
    "hello": {"response": {"content": LINE}, "chunkSize": 4},
    "rate limited": {"response": _error(429, "rate_limit_exceeded", retryAfter=7)},
    "overloaded": {"response": _error(503, "overloaded")},
    "server error": {"response": _error(500, "server_error")},
    "bad request": {"response": _error(400, "invalid_value")},
    "no such model": {"response": _error(404, "model_not_found")},
    "no money": {"response": _error(402, "payment_required")},
    "malformed": {"response": {"content": LINE}, "chaos": {"malformedRate": 1}},
    "hung up": {"response": {"content": LINE}, "chaos": {"disconnectRate": 1}},
    "broken": {"response": {"content": LINE}, "latency": 20, "chunkSize": 4, "truncateAfterChunks": 5},
    "slow to start": {"response": {"content": LINE}, "chaos": {"latencyMs": 10_000}},
    "slow to go on": {"response": {"content": LINE}, "latency": 2000, "chunkSize": 4},
    "steady": {"response": {"content": LINE * 20}, "latency": 50, "chunkSize": 4},
}


def _answers() -> list[dict[str, Any]]:
    answers = []
    for kind in KINDS:  # what happens only once is counted for each of them
        first = {"userMessage": f"once {kind}", "sequenceIndex": 0}
        answers.append({"match": first, "response": _error(500, "server_error")})
        answers.append({"match": {"userMessage": f"once {kind}"}, "response": {"content": LINE}})
    return answers + [{"match": {"userMessage": words}, **answer} for words, answer in ANSWERS.items()]


@dataclass(frozen=True, slots=True)
class FaultyModels:
    """`url` is for Anthropic's SDK; OpenAI's wants `url` + `/v1`."""

    url: str

    def settings(self) -> dict[str, str]:
        """Those with which a service asks it, for nothing."""
        return {"LLM_BASE_URL": f"{self.url}/v1", "LLM_MODEL": "mock", "LLM_PRICES": "mock=0/0"}

    def asked(self, words: str) -> list[dict[str, Any]]:
        """The bodies of the requests that had these words in them."""
        entries = httpx.get(f"{self.url}/__aimock/journal", timeout=PATIENCE_SECONDS, verify=PLAIN).json()
        return [entry["body"] for entry in entries if words in json.dumps(entry["body"])]


@contextmanager
def faulty_models(directory: Path) -> Iterator[FaultyModels]:
    """Start it on a free port of the loopback."""
    tools = node_tools("aimock")
    answers = directory / "answers.json"
    answers.write_text(json.dumps({"fixtures": _answers()}))
    port = free_port()
    script = tools.modules / "@copilotkit" / "aimock" / "dist" / "cli.js"
    command = [tools.node, str(script), "-p", str(port), "-f", str(answers), "--log-level", "silent"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_answering(url, process)
        yield FaultyModels(url)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _until_answering(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert process.poll() is None, "aimock ended"
        try:
            httpx.get(f"{url}/__aimock/journal", timeout=2, verify=PLAIN)
        except httpx.HTTPError:
            assert time.monotonic() < ends, "aimock does not answer"
            time.sleep(0.05)
        else:
            return
