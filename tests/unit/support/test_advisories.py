from __future__ import annotations

import json
from collections.abc import Mapping

from tests.support.advisories import judge, told

GOOD = {"name": "anyio", "version": "4.16.0", "vulns": []}
UNKNOWN = {"name": "stripe", "skip_reason": "Dependency not found on PyPI and could not be audited: stripe (16.1.0)"}
BAD = {
    "name": "pymongo",
    "version": "4.0",
    "vulns": [{"id": "PYSEC-2024-1", "fix_versions": ["4.6.3"], "aliases": [], "description": "Reads too far"}],
}


def answer(*dependencies: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_package_with_a_known_vulnerability_is_named_with_the_version_that_mends_it() -> None:
    verdict = judge(answer(GOOD, BAD))
    assert verdict.found == ("pymongo 4.0: PYSEC-2024-1, mended in 4.6.3",)
    assert told(verdict)[-1] == "2 of 2 packages asked about, 1 found"


def test_packages_that_could_not_be_asked_about_are_not_called_good() -> None:
    assert told(judge(answer(UNKNOWN, UNKNOWN))) == ("skipped: PyPI's advisories cannot be reached from here",)
    assert told(judge(answer(GOOD, UNKNOWN))) == ("1 of 2 packages asked about, 0 found",)


def test_where_nothing_was_answered_nothing_is_found() -> None:
    assert judge("").found == ()
    assert told(judge(""))[0].startswith("skipped")
