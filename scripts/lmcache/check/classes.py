"""The two classes under comparison: LMCache's own, and the drop-in."""

from pathlib import Path
from types import ModuleType
from typing import Any
import importlib.util
import os

from lmcache.v1.plugin import runtime_plugin_launcher as original

BRIDGE = Path(__file__).parent.parent / "all_launcher.sh"
DROP_IN = Path(__file__).parent.parent / "runtime_plugin_launcher.py"


def load_drop_in() -> ModuleType:
    """The drop-in, beside LMCache's own module, using the binary under test."""
    os.environ["LMCACHE_PLUGIN_LAUNCHER_BIN"] = os.environ["LAUNCHER"]
    spec = importlib.util.spec_from_file_location("drop_in", DROP_IN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drop_in: Any = load_drop_in()

__all__ = ["BRIDGE", "DROP_IN", "drop_in", "original"]
