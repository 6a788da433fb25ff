"""The direction of imports: flows use the package, the package never a flow; settings never torch."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmreason.project import FOLDERS

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, function bodies included."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.split(".")[0] for name in names}


def test_the_package_imports_no_flow_folder() -> None:
    wrong = {path.name: imported(path) & set(FOLDERS) for path in (ROOT / "mmreason").rglob("*.py")}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_flows_import_no_flow_by_name() -> None:
    stems = {path.stem for path in FLOWS} | set(FOLDERS)
    wrong = {str(path.relative_to(ROOT)): imported(path) & stems for path in FLOWS}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_flow_folders_are_no_packages() -> None:
    assert [path for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.py")] == []


@pytest.mark.parametrize("module", ["mmreason.config", "mmreason.cli", "mmreason.cli_job", "mmreason.run.manifest"])
def test_torch_stays_out_of(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_help_loads_neither_settings_nor_torch() -> None:
    code = (
        "import sys; sys.argv = ['mmreason', '--help']\nfrom mmreason.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    print(sorted({'torch', 'pydantic', 'yaml', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr
