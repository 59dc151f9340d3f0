from __future__ import annotations

from tests.support.order import ROOT, SECONDS, longest_first


def test_files_that_take_long_come_first_and_are_there() -> None:
    files = [ROOT / "tests" / name for name in SECONDS]
    assert [file.name for file in files if not file.exists()] == []
    by_time = sorted([ROOT / "tests" / "unit" / "test_docs.py", *reversed(files)], key=longest_first)
    assert by_time[0].name == max(SECONDS, key=SECONDS.__getitem__).rpartition("/")[2]
    assert by_time[-1].name == "test_docs.py"
