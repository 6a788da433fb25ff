"""RL that gets bad input, or breaks: one clear line that names the sample, or it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import mmreason.rollout.make as making
from mmreason.config.recipe import TinyModel
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module
from mmreason.records import MediaRef, Message, Role, Rollout, Sample, SegmentKind
from mmreason.records.io import read_samples, write_samples
from mmreason.rollout.environment import Reply
from mmreason.rollout.pieces import join, put_in
from mmreason.rollout.playing import PlayingEngine
from mmreason.rollout.transformers_engine import TransformersEngine

small = load_module(Path(__file__).parent.parent / "flows" / "small_grpo.py")
Groups = list[list[Rollout]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = small.make_project(tmp_path_factory.mktemp("faults"))
    return made


@pytest.fixture
def out(project: Path, tmp_path: Path) -> Path:
    made: Path = small.fresh(project, tmp_path / "out")
    return made


def with_rewards(project: Path, folder: Path, code: str, declared: str = "") -> Path:
    """A project whose domain has this rewards.py, with one declared term if any."""
    shutil.copytree(project / "small", folder / "small")
    (folder / "small" / "rewards.py").write_text(code, encoding="utf-8")
    if declared:
        with (folder / "small" / "domain.yaml").open("a", encoding="utf-8") as file:
            file.write(f"rewards: [{{term: 'rewards.py:{declared}'}}]\n")
    return folder


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line that the user gets for a mistake of his own."""
    last = capsys.readouterr().err.rstrip("\n").rpartition("\n")[2]
    assert code == 2, last
    assert last.startswith("mmreason: ")
    return last


def change_pool(out: Path, change: Callable[[Sample], Sample]) -> None:
    path = out / "data" / "rl.parquet"
    write_samples(path, [change(sample) for sample in read_samples(path)])


def after_sampling(monkeypatch: pytest.MonkeyPatch, change: Callable[[TransformersEngine, Groups], Groups]) -> None:
    """The engine's answers go through `change`."""
    extend = TransformersEngine.extend

    def changed(self: TransformersEngine, *arguments: Any, **named: Any) -> Groups:
        return change(self, extend(self, *arguments, **named))

    monkeypatch.setattr(TransformersEngine, "extend", changed)


def each(change: Callable[[Rollout], Rollout]) -> Callable[[TransformersEngine, Groups], Groups]:
    return lambda engine, groups: [[change(rollout) for rollout in group] for group in groups]


# Rewards


@pytest.mark.parametrize(
    ("value", "found"), [("None", "None"), ("float('nan')", "nan"), ("[1.0, 0.0]", "[1.0, 0.0]"), ("'1'", "'1'")]
)
def test_a_term_that_is_no_number(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], value: str, found: str
) -> None:
    own = with_rewards(project, out.parent, f"def broken(rollout, sample):\n    return {value}\n", "broken")
    line = refused(capsys, small.grpo(own, out))
    assert f"reward rewards.py:broken gave {found} for sample q" in line


METHOD = """\
import torch
from mmreason.objectives.method import Method


class Broken(Method):
    def reward(self, batch, ctx):
        return {value}
"""


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("None", "gave NoneType for the rewards of 16 answers, the first to sample q"),
        ("torch.where(batch.group == 1, torch.nan, batch.reward)", "gave nan for an answer to sample q"),
        ("batch.reward[1:]", "gave torch.float64 [15] for the rewards of 16 answers (sample q"),
        ("batch.reward.float()", "gave torch.float32 [16]"),
    ],
    ids=["None", "NaN", "length", "type"],
)
def test_a_method_whose_rewards_are_wrong(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], value: str, found: str
) -> None:
    own = with_rewards(project, out.parent, METHOD.format(value=value))
    line = refused(capsys, small.grpo(own, out, "grpo.methods=['rewards.py:Broken']"))
    assert "method rewards" in line
    assert found in line


# Groups


EMPTYING = """\
from mmreason.objectives.method import Method


class Emptying(Method):
    def roll(self, groups, ctx):
        groups[1].rollouts = []
        return {returned}
"""


@pytest.mark.parametrize(
    ("returned", "found"),
    [("groups", ": its group is empty after the rollout stages"), ("[]", "the rollout stages left no group at all")],
)
def test_an_empty_group(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], returned: str, found: str
) -> None:
    own = with_rewards(project, out.parent, EMPTYING.format(returned=returned))
    line = refused(capsys, small.grpo(own, out, "grpo.methods=['rewards.py:Emptying']"))
    assert found in line


def test_an_engine_that_answers_nothing(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    after_sampling(monkeypatch, lambda engine, groups: [*groups[:-1], []])
    assert ": its group is empty" in refused(capsys, small.grpo(project, out))


def unsolved(sample: Sample) -> Sample:
    return replace(sample, answer=replace(sample.answer, gold="7"))


def test_groups_without_variance_train_nothing_and_say_so(project: Path, out: Path) -> None:
    change_pool(out, unsolved)
    assert small.grpo(project, out, "grpo.kl_beta=0", "grpo.steps=3") == 0
    rows = small.metrics(out)
    assert len(rows) == 3
    assert all(row["grad_norm"] == 0.0 and row["zero_advantage_groups"] == 1.0 for row in rows)
    assert "zero_variance: 100% of the groups teach nothing (0% all right, 100% all wrong)" in rows[0]["alarms"]
    assert small.weights(out) == small.weights_before(out)


@pytest.mark.parametrize(
    ("words", "who"),
    [(["grpo.dynamic_sampling=3"], "dynamic sampling left none of 12 groups after 3 attempts"),
     (["grpo.methods=[dler]"], "dler left none of 4 groups after 1 attempts")],
)  # fmt: skip
def test_no_group_left(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], words: list[str], who: str
) -> None:
    change_pool(out, unsolved)
    line = refused(capsys, small.grpo(project, out, *words))
    assert f"step 1: {who}, the first of sample q" in line
    assert "(right answers: 0%)" in line


# Numbers


@pytest.mark.parametrize("mismatch", ["off", "truncate", "sequence_mask"])
def test_nan_from_the_engine(project: Path, out: Path, monkeypatch: pytest.MonkeyPatch, mismatch: str) -> None:
    after_sampling(monkeypatch, each(lambda rollout: replace(rollout, logprobs=(torch.nan, *rollout.logprobs[1:]))))
    with pytest.raises(FloatingPointError, match=r"engine log-probability of sample q\d is nan at answer token 0"):
        small.grpo(project, out, f"grpo.mismatch='{mismatch}'")


def poison(tensors: dict[str, torch.Tensor]) -> None:
    next(tensor for name, tensor in tensors.items() if name.endswith("mlp.down_proj.weight"))[0, 0] = torch.nan


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_in_the_first_weights(project: Path, out: Path, temperature: float) -> None:
    path = out / "checkpoints" / "sft" / "final" / "model.safetensors"
    tensors = load_file(path)
    poison(tensors)
    save_file(tensors, path, {"format": "pt"})
    found = r"step 1: sampling answers to q\d, q\d, q\d, q\d failed .*log-probabilities are NaN: look for NaN in its"
    with pytest.raises(RuntimeError, match=found):
        small.grpo(project, out, f"grpo.sampling.temperature={temperature}")


@pytest.mark.parametrize("words", [[], ["grpo.prompts_per_update=2"], ["grpo.methods=[siren]"]])
def test_nan_from_the_trained_model(
    project: Path, out: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Weights break between sampling and update: nothing is saved, and a new start goes on from before."""
    calls = []

    def broken(engine: TransformersEngine, groups: Groups) -> Groups:
        calls.append(1)
        if len(calls) == 2:
            with torch.no_grad():
                poison(dict(engine.model.named_parameters()))
        return groups

    after_sampling(monkeypatch, broken)
    with pytest.raises(FloatingPointError, match=r"log-probability of sample q\d is nan at answer token \d+, expected"):
        small.grpo(project, out, *words)
    assert [path.name for path in (out / "checkpoints" / "grpo").iterdir()] == ["step_000001"]
    assert small.grpo(project, out, *words) == 0
    assert [row["step"] for row in small.metrics(out)] == [1, 2]


# Engines


@pytest.mark.parametrize("error", [RuntimeError("device lost"), ConnectionResetError(104, "reset"), MemoryError()])
def test_an_engine_that_dies(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """In step 3, after half of its calls; the run goes on as if nothing had been."""
    whole, broken = (small.fresh(project, tmp_path / name) for name in ("whole", "broken"))
    words = ("grpo.steps=4", "grpo.dynamic_sampling=2")
    assert small.grpo(project, whole, *words) == 0

    def dies(engine: TransformersEngine, groups: Groups) -> Groups:
        if (broken / "checkpoints" / "grpo" / "step_000002").is_dir():
            raise error
        return groups

    with monkeypatch.context() as patch:
        after_sampling(patch, dies)
        with pytest.raises(RuntimeError, match=r"step 3: sampling answers to q\d, q\d, q\d, q\d failed") as raised:
            small.grpo(project, broken, *words)
    assert repr(error) in str(raised.value)
    assert small.grpo(project, broken, *words) == 0
    assert small.metrics(broken) == small.metrics(whole)
    assert small.weights(broken) == small.weights(whole)


def test_an_engine_that_loses_a_prompt(project: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_sampling(monkeypatch, lambda engine, groups: groups[:-1])
    with pytest.raises(RuntimeError, match=r"step 1: sampling answers to q\d, q\d, q\d, q\d failed"):
        small.grpo(project, out)


def test_answers_of_no_tokens(project: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was written: nothing to train, and the other answers train."""
    nothing = {"ids": (), "logprobs": (), "text": ""}

    def some(engine: TransformersEngine, groups: Groups) -> Groups:
        return [[replace(group[0], **nothing), *group[1:]] for group in groups]

    after_sampling(monkeypatch, some)
    assert small.grpo(project, out) == 0
    assert [row["len/p50"] > 0 for row in small.metrics(out)] == [True, True]
    after_sampling(monkeypatch, each(lambda rollout: replace(rollout, **nothing)))
    assert small.grpo(project, small.fresh(project, out.parent / "none")) == 0


# Media


def test_a_placeholder_in_a_question(project: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Message.of(Role.USER, "what is <|image_pad|> ?")
    change_pool(out, lambda sample: replace(sample, messages=(shown,)) if sample.id == "q3" else sample)
    line = refused(capsys, small.grpo(project, out, "grpo.prompts=10"))
    assert "sample q3: 1 visual tokens among the ids, its 0 pictures and clips make 0" in line


def test_an_answer_with_a_placeholder(
    project: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visual = Codec.load(out / "checkpoints" / "sft" / "final").visual_ids[0]
    after_sampling(monkeypatch, each(lambda rollout: replace(rollout, ids=(*rollout.ids[:-1], visual))))
    line = refused(capsys, small.grpo(project, out))
    assert "rollout 0: 1 visual tokens among its ids, 0 features of its 0 pictures and clips" in line


@pytest.fixture
def pictured(project: Path, out: Path) -> Path:
    """A run folder whose untrained model sees, and whose questions have a picture each."""
    Image.new("RGB", (56, 56), "red").save(out.parent / "red.png")
    (out / "data" / "media_root.json").write_text(json.dumps({"path": str(out.parent)}), encoding="utf-8")
    final = out / "checkpoints" / "sft" / "final"
    shutil.rmtree(final)
    tokenizer = train_tokenizer([sample.question for sample in small.questions()], 320)
    build_tiny(TinyModel(**small.SIZES | {"family": "qwen2_5_vl", "vision_hidden": 32}), tokenizer, 0, final)
    show(out, media_ref(out.parent, "red.png"))
    return out


def show(out: Path, ref: MediaRef) -> None:
    change_pool(
        out, lambda sample: replace(sample, messages=(Message.of(Role.USER, "which ?", images=1),), media=(ref,))
    )


def test_a_picture_recorded_for_another_model(
    project: Path, pictured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(pictured, replace(media_ref(pictured.parent, "red.png"), tokens=9))
    line = refused(capsys, small.grpo(project, pictured))
    assert "sample q0: red.png was recorded with 9 visual tokens, this model's processor makes 4" in line


def test_a_tool_picture_cut_by_truncation(
    project: Path, pictured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that cuts a reply inside its picture."""

    def with_half_a_picture(engine: TransformersEngine, groups: Groups) -> Groups:
        medium = engine.codec.patches(Image.new("RGB", (56, 56), "blue"))
        shown = put_in([engine.codec.visual_ids[0]] * 3, SegmentKind.TOOL, media=[medium])
        return [[join(rollout, shown) for rollout in group] for group in groups]

    after_sampling(monkeypatch, with_half_a_picture)
    line = refused(capsys, small.grpo(project, pictured))
    assert "rollout 0: 7 visual tokens among its ids, 8 features of its 2 pictures and clips; was a picture cut" in line


class Shows:
    """Replies with a picture of some width to every turn."""

    def __init__(self, width: int) -> None:
        self.width = width

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply:
        return Reply((Image.new("RGB", (self.width, 56), "green"), "look"))


def play(monkeypatch: pytest.MonkeyPatch, width: int, turns: int = 3) -> None:
    """The run's engine plays with such an environment."""

    def engine(model: Any, codec: Codec, **named: Any) -> PlayingEngine:
        return PlayingEngine(TransformersEngine(model, codec, **named), codec, Shows(width), turns)

    monkeypatch.setattr(making, "TransformersEngine", engine)


def test_a_tool_picture_that_no_longer_fits_ends_the_answer(
    project: Path, pictured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, 56, turns=9)
    words = ("grpo.sampling.max_new_tokens=40", "grpo.group_size=8")
    assert small.grpo(project, pictured, *words) == 0
    lengths = [len(row["ids"]) for step in (1, 2) for row in small.rollouts(pictured, step)]
    assert max(lengths) <= 40
    shown = {piece["kind"] for step in (1, 2) for row in small.rollouts(pictured, step) for piece in row["segments"]}
    assert shown == {"model", "tool"}
    assert all(row["vision_passes_per_group"] >= 1.0 for row in small.metrics(pictured))


def test_a_tool_picture_that_never_fits(
    project: Path, pictured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, 560)
    line = refused(capsys, small.grpo(project, pictured, "grpo.sampling.max_new_tokens=20", "grpo.group_size=16"))
    assert ": the reply of turn 0 has " in line
    assert "raise max_new_tokens or let the environment send less" in line


# Checkpoints


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = small.fresh(project, tmp_path_factory.mktemp("finished") / "out")
    assert small.grpo(project, out, *MOVING) == 0
    return Path(out)


MOVING = ("grpo.steps=3", "grpo.reference=ema", "grpo.kl_beta=0.01")


@pytest.fixture
def stopped(finished: Path, tmp_path: Path) -> Path:
    """The same run as it was before its last model was written."""
    out = tmp_path / "stopped"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "checkpoints" / "grpo" / "final")
    (out / "stages" / "grpo.json").unlink()
    return out


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("weights.safetensors", halve),
        ("optimiser.safetensors", halve),
        ("kept.safetensors", halve),
        ("state.json", halve),
        ("weights.safetensors", Path.unlink),
        ("state.json", Path.unlink),
    ],
)
def test_a_broken_checkpoint_is_named(
    project: Path,
    finished: Path,
    stopped: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    harm: Callable[[Path], None],
) -> None:
    """Going back a step is the user's decision: whoever does it gets the run that was never harmed."""
    newest = stopped / "checkpoints" / "grpo" / "step_000003"
    harm(newest / name)
    line = refused(capsys, small.grpo(project, stopped, *MOVING))
    assert f"checkpoint file {newest / name} is missing or broken" in line
    assert f"delete the folder {newest} to go on" in line
    shutil.rmtree(newest)
    assert small.grpo(project, stopped, *MOVING) == 0
    assert small.metrics(stopped) == small.metrics(finished)
    assert small.weights(stopped) == small.weights(finished)


def test_a_checkpoint_without_its_rename_is_not_there(project: Path, finished: Path, stopped: Path) -> None:
    """A kill in the middle of saving: the step is done again, what was left lying is cleared away."""
    folder = stopped / "checkpoints" / "grpo"
    half = folder / ".step_000003.99.part"
    (folder / "step_000003").rename(half)
    halve(half / "optimiser.safetensors")
    assert small.grpo(project, stopped, *MOVING) == 0
    assert small.weights(stopped) == small.weights(finished)
    assert not half.exists()
