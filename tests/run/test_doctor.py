"""The doctor: findings with the line that mends them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmreason.run import doctor


def test_this_machine_can_run_the_core() -> None:
    found = {check.name: check for check in doctor.examine()}
    assert {"python", "torch", "transformers", "torchvision", "disk", "MMREASON_DATA", "vllm"} <= found.keys()
    assert not found["torch"].fatal
    assert not found["transformers"].fatal


def test_an_absent_extra_names_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "vllm", ("no_such_module", "fast sampling"))
    check = doctor.extra("vllm")
    assert (check.state, check.fatal) == ("note", False)
    assert check.text.endswith("pip install 'mmreason[vllm]'")


def test_a_version_outside_its_range_is_fatal() -> None:
    check = doctor._in_range("transformers", ((4, 0), (4, 9)))
    assert check.fatal
    assert "pip install 'transformers>=4.0,<4.9'" in check.text


def test_an_absent_core_package_is_fatal() -> None:
    assert doctor._in_range("no-such-package-here", ((1, 0), (2, 0))).fatal


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "pip uninstall torchvision"),
        ("raise ImportError('libpng.so is missing')", "libpng.so is missing"),
    ],
)
def test_a_broken_torchvision_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    (tmp_path / "torchvision.py").write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    check = doctor.torchvision()
    assert check.fatal
    assert words in check.text


def test_a_wrong_data_folder_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMREASON_DATA", "/no/such/folder")
    assert doctor.data().fatal
    monkeypatch.delenv("MMREASON_DATA")
    assert doctor.data().state == "note"
