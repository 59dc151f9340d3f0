"""A short run of the fuzzer over every operation, the same one each time; `make fuzz` is the long one.

Each operation gets its examples, what its links lead to, a request at random and, of the valid and the invalid values
at its boundaries, every eighth.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import SETTINGS, fuzz
from tests.support.service import serving


@pytest.mark.timeout(900)
def test_what_the_document_says_is_what_happens(tmp_path: Path) -> None:
    with serving(tmp_path / "service", **SETTINGS) as service:
        options = ("--seed", "2026", "--max-examples", "1", "--no-shrink")
        outcome = fuzz(service, tmp_path, *options, boundaries_every=8)
        assert "unexpected_error" not in service.log
    assert outcome.returncode == 0, outcome.stdout[:20000] + outcome.stderr[-2000:]
    assert "Stateful" in outcome.stdout
