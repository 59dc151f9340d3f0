"""The rules of the house that no linter knows, and proof that the import rules of pyproject.toml bite."""

import ast
import http
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT_FOLDERS = ("core", "actors", "http", "deploy")
DRIVERS = {"motor", "pymongo", "gridfs"}
REDIS_CLIENTS = {"aioredis", "fakeredis", "redis", "rediscluster"}
STANDARD_HTTP = {module.name for module in pkgutil.iter_modules(http.__path__)} | set(dir(http))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files_below(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def trees_below(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for path in files_below(*folders):
        yield relative(path), tree_of(path)


@cache
def imports_of(tree: ast.Module) -> tuple[tuple[int, str], ...]:
    """Line and full name of everything imported: `from a import b` gives `a.b`; relative imports begin with a dot."""
    return tuple(_imports_of(tree))


def _imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names)


def is_bare(name: str) -> bool:
    first, _, rest = name.partition(".")
    if first == "http":
        return rest != "" and rest.split(".")[0] not in STANDARD_HTTP
    return first in PRODUCT_FOLDERS


def test_pyproject_lists_exactly_the_folders_with_python_files() -> None:
    folders = {path.parent for path in files_below(*PRODUCT_FOLDERS)}
    expected = {"promptforge." + relative(folder).replace("/", ".") for folder in folders}
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    missing, extra = sorted(expected - listed), sorted(listed - expected)
    assert not missing, f"add to tool.setuptools.packages in pyproject.toml: {missing}"
    assert not extra, f"remove from tool.setuptools.packages in pyproject.toml (no Python file there): {extra}"


def test_http_has_no_init_file_that_would_shadow_the_standard_library() -> None:
    assert not (ROOT / "http" / "__init__.py").exists()
    assert not (ROOT / "promptforge").exists()


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("http", False),
        ("http.HTTPStatus", False),
        ("http.client.HTTPConnection", False),
        ("http.routes", True),
        ("core.errors.NotFound", True),
        ("actors", True),
        ("promptforge.core.errors", False),
        ("deployment", False),
    ],
)
def test_a_bare_import_is_told_from_the_standard_library(name: str, *, bare: bool) -> None:
    assert is_bare(name) is bare


def test_only_promptforge_is_imported_never_a_bare_folder() -> None:
    found = [
        f"{path}:{line} imports {name}"
        for path, tree in trees_below(*PRODUCT_FOLDERS, "tests")
        for line, name in imports_of(tree)
        if is_bare(name)
    ]
    assert not found


def test_only_core_mongo_imports_the_driver() -> None:
    found = [
        f"{path}:{line} imports {name}"
        for path, tree in trees_below(*PRODUCT_FOLDERS)
        if not path.startswith("core/mongo/")
        for line, name in imports_of(tree)
        if name.split(".")[0] in DRIVERS
    ]
    assert not found


def test_nothing_imports_a_redis_client() -> None:
    found = [
        f"{path}:{line} imports {name}"
        for path, tree in trees_below(*PRODUCT_FOLDERS, "tests")
        for line, name in imports_of(tree)
        if name.split(".")[0] in REDIS_CLIENTS
    ]
    assert not found


def test_only_deploy_and_the_tests_read_the_environment() -> None:
    readers = {"environ", "environb", "getenv", "getenvb"}
    found = []
    for path, tree in trees_below("core", "actors", "http"):
        found += [f"{path}:{line}" for line, name in imports_of(tree) if name in {f"os.{reader}" for reader in readers}]
        found += [
            f"{path}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in readers
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        ]
    assert not found


@pytest.mark.parametrize(("folders", "limit_lines"), [(PRODUCT_FOLDERS, 500), (("tests",), 600)])
def test_files_stay_small(folders: tuple[str, ...], limit_lines: int) -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files_below(*folders)}
    assert not {path: lines for path, lines in sizes.items() if lines > limit_lines}


def test_functions_stay_within_60_lines() -> None:
    found = {}
    for path, tree in trees_below(*PRODUCT_FOLDERS, "tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > 60:
                    found[f"{path}:{node.lineno} {node.name}"] = lines
    assert not found


CLEAN = {
    "core/errors.py": "",
    "actors/users/messages.py": "import promptforge.core.errors",
    "actors/users/store.py": "from promptforge.actors.users.messages import GetUser",
    "actors/users/actor.py": "from promptforge.actors.users import store",
    "actors/shop/listings/actor.py": "from promptforge.actors.users.messages import GetUser",
    "actors/shop/listings/store.py": "",
    "http/users.py": "import http\nfrom promptforge.actors.users.messages import GetUser",
    "deploy/cli.py": "from promptforge.http import users\nfrom promptforge.actors.users.actor import Users",
}


def lint_imports(place: Path, files: dict[str, str]) -> str:
    """The broken contracts' report on a small tree that is checked by this project's contracts; empty: none is."""
    for name, text in files.items():
        path = place / "promptforge" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if not name.startswith("http/"):
            for package in path.relative_to(place / "promptforge").parents[:-1]:
                (place / "promptforge" / package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", place)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=place,
        env={"PYTHONPATH": str(place), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("0 broken" in done.stdout) == (done.returncode == 0), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout.partition("Broken contracts")[2]


def test_imports_in_the_allowed_directions_pass(tmp_path: Path) -> None:
    assert lint_imports(tmp_path, CLEAN) == ""


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core/errors.py", "promptforge.actors.users.messages"),
        ("actors/users/actor.py", "promptforge.http.users"),
        ("http/users.py", "promptforge.deploy.cli"),
        ("actors/shop/listings/actor.py", "promptforge.actors.users.store"),
        ("actors/users/actor.py", "promptforge.actors.shop.listings.store"),
        ("actors/users/actor.py", "promptforge.actors.shop"),
        ("http/users.py", "promptforge.actors.users.store"),
        ("http/users.py", "promptforge.actors.shop.listings.store"),
    ],
)
def test_an_import_against_the_rules_fails(tmp_path: Path, importer: str, imported: str) -> None:
    report = lint_imports(tmp_path, {**CLEAN, importer: f"import {imported}"})
    assert f"promptforge.{importer.removesuffix('.py').replace('/', '.')} -> {imported}" in report
