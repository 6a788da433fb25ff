"""manifest.json: written at the start, completed by stages, guarding a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmreason.config import Domain, Recipe, load_domain, load_recipe
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.run import manifest
from mmreason.run.files import file_sha256
from mmreason.run.folder import RunFolder


@pytest.fixture
def domain(own_domain: Path) -> Domain:
    return load_domain(own_domain)


def recipe(*pairs: str) -> Recipe:
    return load_recipe(project_dir() / "training" / "recipe.yaml", "cpu", list(pairs))


def test_it_says_what_made_the_run(tmp_path: Path, domain: Domain) -> None:
    folder = RunFolder(tmp_path / "run")
    manifest.start(folder, recipe("seeds.data=4"), domain, tmp_path, ["mmreason", "run", "shop"])
    found = manifest.read_manifest(folder)
    assert found["seeds"] == {"weights": 0, "data": 4, "sampling": 0}
    assert found["settings"]["recipe"]["grpo"]["clip_low"] == 0.2  # defaults are written out
    assert found["settings"]["data_dir"] == str(tmp_path)
    assert found["domain"]["files"]["rewards.py"] == file_sha256(domain.folder / "rewards.py")
    assert found["starts"][0]["command"] == ["mmreason", "run", "shop"]
    assert {"python", "mmreason", "torch"} <= found["versions"].keys()
    assert found["hardware"]["cores"] >= 1
    assert len(found["protocol"]) == 16


def test_a_second_start_is_added(tmp_path: Path, domain: Domain) -> None:
    folder = RunFolder(tmp_path / "run")
    for word in ("first", "second"):
        manifest.start(folder, recipe(), domain, None, [word])
    assert [begun["command"] for begun in manifest.read_manifest(folder)["starts"]] == [["first"], ["second"]]


def test_other_settings_are_refused_with_the_keys(tmp_path: Path, domain: Domain) -> None:
    folder = RunFolder(tmp_path / "run")
    manifest.start(folder, recipe(), domain, None, ["x"])
    with pytest.raises(UserError, match=r"recipe\.grpo\.steps: 8 -> 9.*choose a new --out"):
        manifest.start(folder, recipe("grpo.steps=9"), domain, None, ["x"])
    with pytest.raises(UserError, match="data_dir: None -> "):
        manifest.check_settings(folder, recipe(), domain, tmp_path)
    manifest.check_settings(folder, recipe(), domain, None)


def test_other_rewards_are_refused(tmp_path: Path, domain: Domain) -> None:
    folder = RunFolder(tmp_path / "run")
    manifest.start(folder, recipe(), domain, None, ["x"])
    file = domain.folder / "domain.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace('brief"}', 'brief", weight: 0.2}'), encoding="utf-8")
    with pytest.raises(UserError, match=r"domain\.rewards"):
        manifest.check_settings(folder, recipe(), load_domain(domain.folder), None)


def test_changed_code_of_the_domain_is_said(tmp_path: Path, domain: Domain, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / "run")
    manifest.start(folder, recipe(), domain, None, ["x"])
    assert capsys.readouterr().err == ""
    (domain.folder / "rewards.py").write_text(
        "def right_and_brief(rollout, sample):\n    return 0.0\n", encoding="utf-8"
    )
    manifest.start(folder, recipe(), domain, None, ["x"])
    assert "changed since this run began: rewards.py" in capsys.readouterr().err
    assert manifest.read_manifest(folder)["starts"][1]["changed"] == ["rewards.py"]


def test_stages_complete_it(tmp_path: Path, domain: Domain) -> None:
    folder = RunFolder(tmp_path / "run")
    manifest.start(folder, recipe(), domain, None, ["x"])
    folder.data.mkdir()
    (folder.data / "sft.parquet").write_bytes(b"rows")
    folder.mark_done("data", kept=3)
    manifest.finish_stage(folder, "data", 1.26)
    found = manifest.read_manifest(folder)
    assert found["stages"]["data"]["facts"] == {"kept": 3}
    assert found["stages"]["data"]["seconds"] == 1.3
    assert found["data"] == {"sft.parquet": file_sha256(folder.data / "sft.parquet")}


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: 1 -> 2"]),
        ({"a": None}, {"a": {"b": 2}}, ["a.b: None -> 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] -> [1, 2]"]),
    ],
)
def test_differences_name_keys(old: dict[str, object], new: dict[str, object], lines: list[str]) -> None:
    assert manifest.differences(old, new) == lines


def test_a_folder_without_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json"):
        manifest.read_manifest(RunFolder(tmp_path))
