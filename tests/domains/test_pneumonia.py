"""PneumoniaMNIST from a read-only data folder, and how the reproduction's arms are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmreason.config import Domain, load_domain, load_recipe, with_task
from mmreason.data.distil import bare_answer
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.media.files import UNPACKED, locate, open_image, unpacked_root
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Sample, Stop
from mmreason.rewards.reward import load_reward

MEDICAL = project_dir() / "domains" / "medical"
measures = load_module(MEDICAL / "pneumonia" / "reproduce_measures.py")
reproduce = load_module(MEDICAL / "pneumonia" / "reproduce.py")


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(MEDICAL)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three train and two val pictures whose pixels are their number, in a folder that nobody may write."""
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "pneumoniamnist_balanced"
    folder.mkdir(parents=True)
    pixels = np.arange(5, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    labels = np.array([[0], [1], [1], [1], [0]])
    parts = {"train_images": pixels[:3], "train_labels": labels[:3], "val_images": pixels[3:], "val_labels": labels[3:]}
    np.savez(folder / "pneumoniamnist_train_val.npz", **parts)
    folder.chmod(0o555)
    return folder.parent


def read(domain: Domain, data: Path, split: str) -> list[Sample]:
    return [item for item in read_source(domain, "pneumonia_mnist", split, data) if isinstance(item, Sample)]


def test_pictures_are_unpacked_on_first_use_beside_nothing(domain: Domain, data: Path) -> None:
    samples = read(domain, data, "train")
    assert [sample.answer.gold for sample in samples] == ["A", "B", "B"]
    assert [open_image(data, sample.media[0]).getpixel((3, 3)) for sample in samples] == [(n, n, n) for n in range(3)]
    (folder,) = unpacked_root().iterdir()
    assert len(list(folder.iterdir())) == 5, "both parts lie in one file"
    before = folder.stat().st_mtime_ns
    assert [open_image(data, s.media[0]).getpixel((0, 0)) for s in read(domain, data, "val")] == [(3,) * 3, (4,) * 3]
    assert folder.stat().st_mtime_ns == before, "not unpacked again"
    assert [path.name for path in (data / "pneumoniamnist_balanced").iterdir()] == ["pneumoniamnist_train_val.npz"]


def test_unpacked_paths_stay_below_their_folder_and_say_when_they_are_gone(domain: Domain, data: Path) -> None:
    (first, *_) = read(domain, data, "train")
    path = first.media[0].path
    assert path.startswith(UNPACKED) and locate(data, path).is_relative_to(unpacked_root())
    with pytest.raises(UserError, match="leaves the data folder"):
        locate(data, f"{UNPACKED}../../data")
    locate(data, path).unlink()
    with pytest.raises(UserError, match="is gone; build the data again"):
        open_image(data, first.media[0])


def test_a_cache_that_cannot_be_written_is_said(domain: Domain, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = data.parent / "file"
    blocked.write_text("")
    monkeypatch.setenv("MMREASON_CACHE", str(blocked))
    with pytest.raises(UserError, match=r"cannot unpack .* set MMREASON_CACHE"):
        read(domain, data, "train")


def test_annotations_alone_unpack_nothing(domain: Domain, data: Path) -> None:
    rows = list(read_source(domain, "pneumonia_mnist", "val", data, need_media=False))
    assert len(rows) == 2 and not unpacked_root().exists()


def test_a_level_by_hand() -> None:
    """Two images, right in 5 of 6 and wrong in 1: 0.83, but two images say nothing."""
    found = measures.level([{"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 0.0}])
    assert found["mean"] == pytest.approx(5 / 6) and found["by_seed"] == [1.0, 1.0, 0.5] and found["images"] == 2
    assert (found["low"], found["high"]) == (pytest.approx(2 / 3), 1.0) and found["at least 0.8"] == "not decided"
    sure = [{str(n): 1.0 for n in range(20)}] * 3
    assert measures.level(sure)["at least 0.8"] == "holds" and measures.level(sure[:2])["at least 0.8"] == "not decided"
    assert measures.level([{"a": 0.0}] * 3)["at least 0.8"] == "fails"


def test_a_right_letter_without_a_thought_is_paid(domain: Domain, data: Path) -> None:
    """What the cold start teaches would earn nothing where the format counts."""
    recipe = load_recipe(MEDICAL / "pneumonia" / "recipe.yaml")
    assert recipe.grpo is not None
    (sample, *_) = read(domain, data, "train")
    said = Rollout((), (), (), bare_answer(sample), Stop.EOS)
    assert load_reward(recipe.grpo.reward, with_task(domain, recipe.task), recipe.options)(said, sample).reward == 1.0


def test_arms_take_equal_updates() -> None:
    recipe = load_recipe(MEDICAL / "pneumonia" / "recipe.yaml")
    assert recipe.sft is not None and recipe.grpo is not None
    more = reproduce.arm_recipe(recipe, "more", 2)
    assert (more.sft.max_steps, more.sft.batch) == (recipe.grpo.steps, recipe.grpo.prompts)
    assert reproduce.arm_recipe(recipe, "blind", 2).sft == recipe.sft and more.seeds.weights == 2
    with pytest.raises(UserError, match=r"name the folder of the real ones with data\.dir=DIR"):
        reproduce.main(recipe, None, None)
