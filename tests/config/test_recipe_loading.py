"""Settings: merged in order, validated whole, refused with the nearest known key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mmreason.config import find_system, load_domain, load_recipe, read_yaml
from mmreason.config.load import merge
from mmreason.errors import UserError

RECIPE: dict[str, Any] = {
    "system": "toy",
    "data": {"pipelines": ["a"], "embedded": ["b"]},
    "eval": {"suites": ["s"], "sampling": {"temperature": 0.0}},
    "profiles": {
        "cpu": {
            "model": {"tiny": {"hidden": 64}},
            "sft": {"optim": {"lr": 0.001}},
            "eval": {"sampling": {"max_new_tokens": 7}},
        },
        "gpu1": {"model": {"path": "some/model"}, "data": {"embedded": ["c", "d"]}},
    },
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return path


def test_a_profile_is_merged_over_the_base(recipe: Path) -> None:
    cpu = load_recipe(recipe, "cpu")
    assert (cpu.eval.suites, cpu.eval.sampling.temperature, cpu.eval.sampling.max_new_tokens) == (["s"], 0.0, 7)
    assert cpu.model.tiny is not None
    assert (cpu.model.tiny.hidden, cpu.model.tiny.layers) == (64, 4)


def test_lists_are_replaced_not_joined(recipe: Path) -> None:
    gpu = load_recipe(recipe, "gpu1")
    assert (gpu.data.embedded, gpu.data.pipelines, gpu.sft) == (["c", "d"], ["a"], None)


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),  # a profile switches a stage off
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_merge_rules(base: Any, over: Any, result: Any) -> None:
    assert merge(base, over) == result


@pytest.mark.parametrize(
    ("pair", "path", "value"),
    [
        ("seeds.weights=3", ("seeds", "weights"), 3),
        ("sft.optim.lr=5e-4", ("sft", "optim", "lr"), 5e-4),  # YAML 1.1 reads 5e-4 as text; the model makes it a number
        ("data.pipelines=[x, y]", ("data", "pipelines"), ["x", "y"]),
        ("sft.max_steps=null", ("sft", "max_steps"), None),
        ("model.freeze_vision=false", ("model", "freeze_vision"), False),
        ("data.dir=a=b", ("data", "dir"), "a=b"),
        ("launch.threads=1", ("launch", "threads"), 1),  # a section the file does not have
    ],
)
def test_pairs_override(recipe: Path, pair: str, path: tuple[str, ...], value: Any) -> None:
    found: Any = load_recipe(recipe, "cpu", [pair])
    for name in path:
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["sft.optim.lrr=1"], ["sft.optim.lrr", "did you mean 'lr'", "profile cpu"]),
        (["grop.steps=3"], ["'grop'", "did you mean 'grpo'"]),
        (["sft.batch=many"], ["sft.batch", "'many'"]),
        (["steps"], ["'steps'", "key=value"]),
        (["sft.epochs=[1"], ["sft.epochs", "not valid YAML"]),
        (["model.path=x"], ["exactly one of 'path'", "'tiny'"]),  # both a checkpoint and sizes
        (["model.tiny=null"], ["exactly one of 'path'", "'tiny'"]),  # neither
        (["seeds.data=1.5", "sft.target=both"], ["seeds.data", "sft.target", "'chain'"]),  # all problems at once
    ],
)
def test_wrong_settings_are_one_line(recipe: Path, pairs: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, "cpu", pairs)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_missing_profile_names_the_nearest(recipe: Path) -> None:
    with pytest.raises(UserError, match=r"no profile 'gpu' .did you mean 'gpu1'"):
        load_recipe(recipe, "gpu")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("system: caf\xe9".encode("latin-1"), "not UTF-8 (byte 11)"),
        (b"a: [1", "not valid YAML"),
        (b"- 1\n- 2\n", "holds list"),
        (b"", "holds NoneType"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_settings_cannot_be_changed_after_validation(recipe: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(recipe).seeds.data = 5  # type: ignore[misc]


def test_an_unknown_system_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'dianjin-r1'"):
        find_system("dianjin")


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("domain.yaml", "rewards:", "reward:", "'reward' (did you mean 'rewards'?)"),
        ("domain.yaml", "prompt.txt", "prompts.txt", "names 'prompts.txt', which does not exist"),
        ("sources.yaml", "use: train", "use: training", "own.use"),
        ("sources.yaml", "licence:", "license:", "did you mean 'licence'"),
    ],
)
def test_a_wrong_domain_is_one_line(own_domain: Path, name: str, old: str, new: str, words: str) -> None:
    file = own_domain / name
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_domain(own_domain)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_declaration_is_no_domain(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no domain\.yaml"):
        load_domain(tmp_path)


def test_an_undeclared_source_names_the_nearest(own_domain: Path) -> None:
    with pytest.raises(UserError, match=r"declares no source 'owl' .did you mean 'own'"):
        load_domain(own_domain).source("owl")
