"""The optimiser: rates by hand, checkpoints that resume bit for bit, and gradients that are no numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from mmreason.config.recipe import Optim, TinyModel
from mmreason.errors import UserError
from mmreason.models.checkpoint import step_folders
from mmreason.models.learner import Learner, learning_rate
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.run import files

OPTIM = Optim(lr=0.01, weight_decay=0.1, warmup=0.2, schedule="cosine")
STEPS = 8


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "base"
    sizes = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300)
    build_tiny(sizes, train_tokenizer(["one and two"], sizes.vocab), 0, path)
    return path


def batch(step: int) -> torch.Tensor:
    return torch.randint(0, 250, (2, 6), generator=torch.Generator().manual_seed(step))


def train(learner: Learner, steps: range) -> list[dict[str, float]]:
    """One update a step; each step has its own batch."""
    out = []
    for step in steps:
        ids = batch(step)
        loss = learner.model(input_ids=ids, labels=ids).loss
        learner.backward(loss)
        out.append({"loss": float(loss.detach()), **learner.step(step)})
        learner.save(step, 2 * step)
    return out


def fresh(base: Path, folder: Path) -> Learner:
    return Learner(load_model(base), OPTIM, STEPS, folder)


def bits(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),  # 2 warm-up steps, then 4 steps from 1 towards 0
        ("cosine", [0.5, 1.0, 1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
    ],
)
def test_rates_by_hand(schedule: str, expected: list[float]) -> None:
    optim = Optim.model_validate({"lr": 3.0, "warmup": 0.3, "schedule": schedule})  # ceil(0.3 x 6) = 2
    found = [learning_rate(optim, step, 6) / 3.0 for step in range(1, 7)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_rates_at_the_edges() -> None:
    assert learning_rate(Optim(lr=1.0, schedule="linear"), 1, 1) == 1.0
    assert learning_rate(Optim(lr=1.0, warmup=1.0, schedule="cosine"), 4, 4) == 1.0


@pytest.mark.parametrize("stop", [1, 3, 7])
def test_a_resumed_learner_goes_on_bit_for_bit(base: Path, tmp_path: Path, stop: int) -> None:
    unbroken = fresh(base, tmp_path / "one")
    expected = train(unbroken, range(1, STEPS + 1))
    first = train(fresh(base, tmp_path / "two"), range(1, stop + 1))
    again = fresh(base, tmp_path / "two")
    assert again.resume() == (stop, 2 * stop)
    assert first + train(again, range(stop + 1, STEPS + 1)) == expected
    assert all(torch.equal(value, bits(unbroken.model)[name]) for name, value in bits(again.model).items())


def test_nothing_to_resume(base: Path, tmp_path: Path) -> None:
    learner = fresh(base, tmp_path / "none")
    before = bits(learner.model)
    assert learner.resume() == (0, 0)
    assert all(torch.equal(value, before[name]) for name, value in bits(learner.model).items())


def test_two_checkpoints_stay(base: Path, tmp_path: Path) -> None:
    train(fresh(base, tmp_path / "steps"), range(1, 5))
    assert [step for step, _ in step_folders(tmp_path / "steps")] == [3, 4]
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["step_000003", "step_000004"]


def test_a_checkpoint_cut_by_a_kill_is_not_seen(base: Path, tmp_path: Path) -> None:
    """A folder still being written has another name, so the one before it is resumed."""
    train(fresh(base, tmp_path / "steps"), range(1, 3))
    (tmp_path / "steps" / ".step_000003.77.part").mkdir()
    assert fresh(base, tmp_path / "steps").resume() == (2, 4)


def test_a_full_disk_leaves_the_old_checkpoints(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = fresh(base, tmp_path / "steps")
    train(learner, range(1, 3))

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(UserError, match="no space left"):
        learner.save(3, 6)
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["step_000001", "step_000002"]
    assert fresh(base, tmp_path / "steps").resume() == (2, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_stops_the_run(base: Path, tmp_path: Path, bad: float) -> None:
    learner = fresh(base, tmp_path / "steps")
    before = bits(learner.model)
    ids = batch(1)
    learner.backward(learner.model(input_ids=ids, labels=ids).loss)
    next(p for p in learner.parameters if p.grad is not None).grad.view(-1)[0] = bad
    with pytest.raises(FloatingPointError, match="update 4: gradient norm is"):
        learner.step(4)
    assert all(torch.equal(value, before[name]) for name, value in bits(learner.model).items())


def test_the_norm_is_clipped_and_told_unclipped(base: Path, tmp_path: Path) -> None:
    learner = Learner(load_model(base), OPTIM.model_copy(update={"max_grad_norm": 1e-3}), STEPS, tmp_path)
    ids = batch(1)
    learner.backward(learner.model(input_ids=ids, labels=ids).loss)
    expected = math.sqrt(sum(float(p.grad.double().square().sum()) for p in learner.parameters if p.grad is not None))
    assert learner.step(1)["grad_norm"] == pytest.approx(expected, rel=1e-5)
    largest = max(float(state["exp_avg"].norm()) for state in learner.adamw.state.values())
    assert largest <= 0.1 * 1e-3 * 1.001  # (1 - beta1) times the clipped gradient
