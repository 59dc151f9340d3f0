"""A client in TypeScript whose types are generated from the document that the service answers: it compiles, strictly,
and goes the way from a prompt to a sale.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import stripe

from promptforge.core.principal import Role
from tests.support.node_tools import TOOLS, node_tools
from tests.support.running import WEBHOOK_SECRET
from tests.support.service import Service, serving

PEOPLE = {"seller": (Role.SELLER,), "buyer": (), "moderator": (Role.MODERATOR,), "operator": (Role.OPERATOR,)}


@dataclass(frozen=True)
class Workshop:
    """A folder with the client's sources, its generated types, and the tools."""

    service: Service
    folder: Path
    node: str

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.node, *command],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def compile(self) -> str:
        """What the compiler finds wrong."""
        return self.run("node_modules/typescript/bin/tsc", "--project", ".").stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    tools = node_tools("typescript")
    folder = tmp_path_factory.mktemp("client")
    for name in ("package.json", "tsconfig.json", "sale.ts", "mistakes.ts"):
        shutil.copy(TOOLS / "typescript" / name, folder)
    (folder / "node_modules").symlink_to(tools.modules)
    with serving(tmp_path_factory.mktemp("service")) as service:
        made = Workshop(service, folder, tools.node)
        (folder / "openapi.json").write_text(service.visitor.get("/api/v1/openapi.json").text)
        generate = ("openapi.json", "--output", "api.d.ts", "--default-non-nullable", "false")
        outcome = made.run("node_modules/openapi-typescript/bin/cli.js", *generate)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        yield made


def test_the_generated_types_compile_and_lead_from_a_prompt_to_a_sale(workshop: Workshop) -> None:
    assert workshop.compile() == ""
    service = workshop.service
    people = {name: service.person(name, *roles) for name, roles in PEOPLE.items()}
    tokens = {name: one.client.headers["authorization"].removeprefix("Bearer ") for name, one in people.items()}
    outcome = workshop.run(
        "out/sale.js",
        BASE_URL=service.base_url,
        TOKENS=json.dumps(tokens),
        WEBHOOK_SECRET=WEBHOOK_SECRET,
        STRIPE_API_VERSION=stripe.api_version,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.splitlines() == [
        "refused /name /tags/0",
        "prompt 1",
        "edited once, as it was read",
        "listing published",
        "credits 500",
        "bought and read",
        "sold, and the ledger adds up",
    ]


def test_a_call_that_the_document_does_not_allow_does_not_compile(workshop: Workshop) -> None:
    """The same mistakes as in mistakes.ts, which compiles only because each is expected, without the expectation."""
    mistakes = workshop.folder / "mistakes.ts"
    expected = mistakes.read_text()
    try:
        mistakes.write_text("\n".join(line for line in expected.splitlines() if "@ts-expect-error" not in line))
        found = workshop.compile()
    finally:
        mistakes.write_text(expected)
    assert found.count("mistakes.ts(") == expected.count("@ts-expect-error") > 0, found
