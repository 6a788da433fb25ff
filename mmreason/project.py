"""Where the flow folders lie, and how code in them is loaded by reference (never imported by name)."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mmreason.errors import UserError, nearest

FOLDERS = ("training", "data_pipelines", "domains", "eval", "model_cards")


def project_dir() -> Path:
    """The checkout that holds this package, else the copy packed into the wheel."""
    package = Path(__file__).resolve().parent
    checkout = package.parent
    if all((checkout / folder).is_dir() for folder in FOLDERS):
        return checkout
    return package / "_project"


def load_module(path: Path) -> ModuleType:
    """Load a Python file under a private name, once per process; two folders may each have a rewards.py."""
    path = path.resolve()
    name = f"_mmreason_ref_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file that can be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while the body runs
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_ref(ref: str, base: Path) -> Callable[..., Any]:
    """Resolve 'file.py:function' relative to `base`, or 'mmreason.module:function'.

    Raises UserError naming the reference when the file or the function does not exist.
    """
    where, _, attribute = ref.partition(":")
    if not attribute:
        raise UserError(f"reference {ref!r} has no function: write 'file.py:function'")
    if where.startswith("mmreason.") and not where.endswith(".py"):
        module = importlib.import_module(where)
    else:
        path = (base / where).resolve()
        if not path.is_file():
            raise UserError(f"reference {ref!r}: no file {path}")
        module = load_module(path)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"reference {ref!r}: {where} has no {attribute!r}{nearest(attribute, public)}")
    found: Callable[..., Any] = getattr(module, attribute)
    return found
