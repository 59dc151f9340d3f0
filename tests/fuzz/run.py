"""Send the service what its OpenAPI document allows, and what it does not, as three people: `make fuzz`.

Schemathesis generates requests for every operation: from examples, from boundaries, at random, and in sequences that
use the ids they were given; all of its checks are on. Ada and Bob are peers: what belongs to one must not be shown to
the other. The third has every role. Event streams never end and are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

from promptforge.core.principal import Role
from tests.support.service import Service, serving

PEOPLE = {"ada": (Role.SELLER,), "bob": (Role.SELLER,), "staff": tuple(Role)}
ACCEPTED = ["2xx", "3xx", 401, 402, 403, 404, 409, 412, 429, 503]
"""Answers to valid requests: there may be no such thing, too few credits, a state that does not allow it."""
REFUSED = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, 431, "5xx"]
"""Answers to invalid ones: too large is an answer too, and a 500 has a check of its own."""
LONG = ("--max-time", "600", "--max-examples", "200")
_CONFIGURATION = """
hooks = "{hooks}"

[auth.wfc]
path = "{auth}"
peers = ["ada", "bob"]

[checks]
positive_data_acceptance.expected-statuses = {accepted}
negative_data_rejection.expected-statuses = {refused}

[[operations]]
include-operation-id = ["getProject", "getPrompt"] # DELETE archives these
checks.use_after_free.enabled = false

{exceptions}
"""
_EXCEPTION = """
[[operations]]
include-operation-id = {operations}

[operations.checks.positive_data_acceptance]
expected-statuses = {accepted}
"""
NOT_IN_THE_SCHEMA = {
    "addProjectMember": 422,  # nobody may have the handle
    "setSellerDetails": 422,  # a person has a date of birth, a company a number
    "receiveStripeEvent": 400,  # nobody can make up a signature
    "createPrompt": 422,  # what content may be depends on the prompt's kind
    "createPromptVersion": 422,
    "savePromptDraft": 422,
    "publishPromptDraft": 422,  # a draft may be anything, a version may not
    "renderPrompt": 422,  # a version or a label; values for the prompt's own variables
    "forkPrompt": 422,
    "getCompiledPrompt": 422,
    "createApiKey": 422,  # scopes are those that operations have
    "createPartnerApp": 422,
    "rotateAppSecret": 422,  # webhooks are dropped with a leaked secret only
    "getAppToken": 401,  # nobody can make up a secret
    "decidePartnership": 422,  # a reason fits its decision, and only an approval has a commission
    "decideFrozenEarnings": 422,  # a reason fits its decision
    "decideForfeitAppeal": 422,
    "suspendAccount": 422,
    "reinstateAccount": 422,
    "upholdSuspension": 422,
    "changeCommission": 422,  # the most that a partner gets is a setting
    "claimReferral": 422,  # nobody can make up what a link gives away
    "grantCredits": 422,  # the cap is a setting
    "changeJobs": 422,  # one condition at least
    "improveText": 422,  # either a text or a prompt; and which models there are is a setting
    "critiqueText": 422,
    "explainText": 422,
    "suggestListing": 422,
    "generateText": 422,
    "createListing": 422,  # one with runs names a model that there is
    "updateListing": 422,
    "runListing": 422,  # values for the prompt's own variables
    "testPrompt": 422,  # a version or a label; values for the prompt's own variables
    "getPromptAnalytics": 422,  # the span of time has bounds, and so has what it falls into
    "getMyUsage": 422,
    "recordEvents": 422,  # events are of the last 400 days, and about nobody
    "downloadExport": 416,  # how long the file is
    "requestExport": 422,  # what begins before it ends, and before now
    "queryAnalytics": 422,  # what can be asked depends on the view
    "createDataset": 422,  # a JSON Schema, of the kinds that cannot take long
    "updateDataset": 422,
    "addDatasetItems": 422,  # items fit the dataset's schema
    "replaceDatasetItem": 422,
    "draftPackageVersion": 422,  # a version is a semantic one
    "editPackageVersion": 422,
    "getPackageVersion": 422,
    "discardPackageVersion": 422,
    "publishPackageVersion": 422,
    "yankPackageVersion": 422,
    "unyankPackageVersion": 422,
    "revokePackageVersion": 422,
    "downloadPackage": 422,
    "installPackage": 422,  # an upload, or a package and its version
    "tryInstall": 422,
    "createPackageListing": 422,
    "offerPackageVersion": 422,
    "uploadPackage": 422,  # nobody can make up a signature
    "createEvaluation": 422,  # what a scorer needs depends on its kind
    "requestPayout": 422,  # the least amount is a setting
    "compareEvaluations": 422,
    "updateSettings": 422,  # kinds are those that there are, and some must be shown
    "createWebhook": 422,  # an address of the public internet
    "updateWebhook": 422,
}
"""Operations whose valid requests may be refused by a rule of its own, and how."""


SETTINGS = {"LLM_PRICES": "smollm2-135m=20000/80000"}
"""The tiny model answers in seconds, one request at a time: who has no credits does not wait for it."""


def _refusal(operation: str) -> int:
    return NOT_IN_THE_SCHEMA[operation]


def fuzz(
    service: Service, directory: Path, *options: str, boundaries_every: int = 1
) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against a running service. There are some 45 boundary values per operation: all, or some."""
    auth = []
    for name, roles in PEOPLE.items():
        person = service.person(name, *roles)
        person.get("/users/me")
        header = {"name": "Authorization", "value": person.client.headers["authorization"]}
        auth.append({"name": name, "fixedHeaders": [header]})
    (directory / "auth.json").write_text(json.dumps({"auth": auth}))
    hooks = Path(__file__).with_name("hooks.py")
    exceptions = "".join(
        _EXCEPTION.format(operations=json.dumps(list(those)), accepted=json.dumps([*ACCEPTED, status]))
        for status, those in groupby(sorted(NOT_IN_THE_SCHEMA, key=_refusal), _refusal)
    )  # one for all that share it: schemathesis goes through all of them for each request
    configuration = _CONFIGURATION.format(
        hooks=hooks,
        auth=directory / "auth.json",
        accepted=json.dumps(ACCEPTED),
        refused=json.dumps(REFUSED),
        exceptions=exceptions,
    )
    (directory / "schemathesis.toml").write_text(configuration)
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(directory / "schemathesis.toml"), "run", f"{service.base_url}/api/v1/openapi.json"),
        *("--checks", "all", "--exclude-path-regex", "/stream$", "--request-timeout", "60", *options),
    ]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"NO_COLOR": "1", "BOUNDARIES_EVERY": str(boundaries_every)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def main() -> int:
    """Print what schemathesis says, with the seed that repeats it."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "service", **SETTINGS) as service:
        outcome = fuzz(service, Path(folder), *(sys.argv[1:] or LONG))
    sys.stdout.write(outcome.stdout + outcome.stderr)
    return outcome.returncode


if __name__ == "__main__":
    sys.exit(main())
