"""Each feature can be the first that is imported: who imports one of them does not have to know the others' order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FEATURES = sorted(f"promptforge.actors.{path.parent.name}" for path in ROOT.glob("actors/*/__init__.py"))
# Each in a process that has the libraries and the core, and no feature.
ALONE = """
import gc, importlib, os, sys
gc.disable()
import promptforge.deploy.features
for name in [name for name in sys.modules if name.startswith(("promptforge.actors", "promptforge.deploy"))]:
    del sys.modules[name]
children = {}
for feature in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(feature)
        os._exit(0)
    children[child] = feature
failed = [children[child] for child, status in (os.wait() for _ in tuple(children)) if status]
sys.exit(" ".join(sorted(failed)) or None)
"""


def test_each_feature_can_be_imported_first() -> None:
    assert len(FEATURES) > 10
    done = subprocess.run([sys.executable, "-c", ALONE, *FEATURES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
