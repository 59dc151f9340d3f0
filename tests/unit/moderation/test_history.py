"""The history of decisions is only ever added to: read from the source, because no test could try every path."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from promptforge.actors.moderation.history import DECISIONS, DecisionLog

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("core", "actors", "http", "deploy")
HISTORY = ROOT / "actors" / "moderation" / "history.py"


@cache
def sources() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}


def test_one_module_knows_the_collection() -> None:
    """Neither its name nor the constant with it is anywhere else."""
    knowing = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, str) and DECISIONS in node.value.split("`"))
        or (isinstance(node, ast.alias) and node.name == "DECISIONS")
    }
    assert knowing == {HISTORY}


def test_that_module_only_adds_and_reads() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(HISTORY.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "_decisions"
    }
    assert used == {"insert_one", "find", "find_one"}


def test_nobody_else_reaches_the_collection_through_the_log() -> None:
    reaching = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "_decisions" and path != HISTORY
    }
    assert reaching == set()
    assert {name for name in vars(DecisionLog) if not name.startswith("_")} == {
        "add",
        "list_of",
        "list_judgements",
        "find_appealed",
    }
