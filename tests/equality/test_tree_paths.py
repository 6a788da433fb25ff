"""Both tree paths against the duplicated-row twin in float64: loss and every gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from mmreason.config.recipe import Lora, ModelSettings
from mmreason.errors import UserError
from mmreason.groups.attention import Way
from mmreason.groups.head import entropy
from mmreason.groups.tree import Branch
from mmreason.models import policy as policy_module
from mmreason.models.load import prepare_for_training
from mmreason.models.medium import Medium
from mmreason.models.policy import Path, Policy, by_tokens

if TYPE_CHECKING:
    from conftest import Setup

    Case = Callable[[Setup], list[list[Branch]]]

FAST = [("packed", "split"), ("packed", "dense"), ("cache", None)]
SEEING = pytest.mark.parametrize("setup", ["qwen2_5_vl", "qwen3_vl"], indirect=True)


def clip(seed: int, frames: int = 3) -> Medium:
    """A clip of 2 x 2 merged patches a frame pair."""
    noise = torch.randn(frames * 16, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(seed))
    return Medium(noise, (frames, 4, 4), kind="video", seconds=2.0)


def picture(seed: int) -> Medium:
    noise = torch.randn(16, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(seed))
    return Medium(noise, (1, 4, 4))


def marks(setup: Setup, medium: Medium) -> list[int]:
    """Placeholders; clips of Qwen3-VL have text between their frames."""
    config = setup.model.config
    if medium.kind == "image":
        return [config.vision_start_token_id, *[config.image_token_id] * 4, config.vision_end_token_id]
    frame = [config.vision_start_token_id, *[config.video_token_id] * 4, config.vision_end_token_id]
    if config.model_type == "qwen3_vl":
        return [token for second in range(medium.grid[0]) for token in (60 + second, *frame)]
    return [frame[0], *[config.video_token_id] * 4 * medium.grid[0], frame[-1]]


def answers(seed: int, lengths: list[int]) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(40, 250, (length,), generator=draw).tolist() for length in lengths]


def flat(setup: Setup) -> list[list[Branch]]:
    """One group a sample, answers of unequal lengths, one of a single token."""
    groups = []
    for number, sample in enumerate(setup.samples):
        prompt = setup.codec.encode(sample)
        groups.append([Branch(prompt.ids, ids, prompt.media) for ids in answers(number, [7, 12, 1, 9])])
    return groups


def forked(setup: Setup) -> list[list[Branch]]:
    """Answers that share beginnings of unlike lengths, one inside another, two equal, forks below forks."""
    prompt = setup.codec.encode(setup.samples[-1])
    trunk, tails = answers(5, [12])[0], answers(6, [4, 5, 6, 3, 2])
    rows = [trunk, trunk[:8] + tails[0], trunk[:8] + tails[1], trunk[:8] + tails[1][:2] + tails[2], trunk[:10]]
    rows += [trunk, tails[3], trunk[:1] + tails[4]]
    return [[Branch(prompt.ids, row, prompt.media) for row in rows]]


def tool_turns(setup: Setup) -> list[list[Branch]]:
    """A shared first turn, a tool's text (not scored), second turns apart."""
    prompt = setup.codec.encode(setup.samples[0])
    first, tool, *second = answers(7, [6, 5, 4, 7, 3])
    scored = [True] * 6 + [False] * 5
    rows = [Branch(prompt.ids, first + tool + s, prompt.media, scored + [True] * len(s)) for s in second]
    return [[*rows, Branch(prompt.ids, second[1], prompt.media)]]


def tool_pictures(setup: Setup) -> list[list[Branch]]:
    """Tools that return pictures: the same one twice, another one, and a clip; then text after them."""
    prompt = setup.codec.encode(setup.samples[-1])
    call, *tails = answers(8, [5, 4, 6, 3, 2])
    rows = []
    for medium, tail in zip((picture(1), picture(1), picture(2), clip(3)), tails, strict=True):
        place = marks(setup, medium)
        scored = [True] * 5 + [False] * len(place) + [True] * len(tail)
        rows.append(Branch(prompt.ids, call + place + tail, (*prompt.media, medium), scored))
    return [[*rows, Branch(prompt.ids, call + tails[0], prompt.media)]]


def clips(setup: Setup) -> list[list[Branch]]:
    """A prompt with a clip between two pictures, and one with a clip alone."""
    groups = []
    for media in ((picture(4), clip(5), picture(6)), (clip(7, frames=2),)):
        prompt = [41, *(token for medium in media for token in (*marks(setup, medium), 42)), 43]
        groups.append([Branch(prompt, ids, media) for ids in answers(9, [5, 8, 3])])
    return groups


@pytest.fixture(autouse=True)
def shared_from_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hardest trees: every common token is a node."""
    monkeypatch.setattr(policy_module, "MIN_SHARED", dict.fromkeys(policy_module.MIN_SHARED, 1))


def loss_and_gradients(policy: Policy, groups: list[list[Branch]]) -> tuple[float, dict[str, torch.Tensor]]:
    """A loss that weighs every token differently, with the entropy's gradient in it."""
    policy.zero_grad(set_to_none=True)
    made = policy([policy.tree(group, str(n)) for n, group in enumerate(groups)], 0.7, {"entropy": entropy})
    weights = torch.linspace(-1.0, 2.0, made["logp"].numel(), dtype=torch.float64).reshape(made["logp"].shape)
    loss = (made["logp"] * weights + 0.1 * made["entropy"] * weights**2).sum()
    loss.backward()
    grads = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    return loss.item(), grads


def check(setup: Setup, groups: list[list[Branch]], path: Path, way: Way | None) -> None:
    expected, wanted = loss_and_gradients(Policy(setup.model, setup.codec, "naive"), groups)
    found, grads = loss_and_gradients(Policy(setup.model, setup.codec, path, way), groups)
    assert found == pytest.approx(expected, rel=1e-9)
    assert grads.keys() == wanted.keys()
    for name, value in wanted.items():
        error = (grads[name] - value).norm() / value.norm().clamp_min(1e-12)
        assert error < 1e-9 or (grads[name] - value).abs().max() < 1e-12, f"{name}: {error:.2e}"


@pytest.mark.parametrize(("path", "way"), FAST)
@pytest.mark.parametrize("case", [flat, forked, tool_turns], ids=lambda case: case.__name__)
def test_text_and_pictures(setup: Setup, case: Case, path: Path, way: Way | None) -> None:
    check(setup, case(setup), path, way)


@SEEING
@pytest.mark.parametrize(("path", "way"), FAST)
@pytest.mark.parametrize("case", [tool_pictures, clips], ids=lambda case: case.__name__)
def test_pictures_from_tools_and_clips(setup: Setup, case: Case, path: Path, way: Way | None) -> None:
    check(setup, case(setup), path, way)


@pytest.mark.parametrize(("path", "way"), FAST)
def test_adapters_over_a_frozen_tower(setup: Setup, path: Path, way: Way | None) -> None:
    settings = ModelSettings(path="here", dtype="float64", lora=Lora(rank=4, alpha=8))
    model = prepare_for_training(copy.deepcopy(setup.model), settings)
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted = replace(setup, model=model)
    groups = flat(adapted)
    check(adapted, groups, path, way)
    made = Policy(model, setup.codec, path, way)
    trees = [made.tree(group) for group in groups]
    for _ in range(3):  # old, reference and train passes of one step
        made(trees)
    assert made.counts[True]["vision_passes"] == len({m.key for group in groups for m in group[0].media})


@pytest.mark.parametrize(("path", "way"), FAST)
def test_micro_batches_add_up(setup: Setup, path: Path, way: Way | None) -> None:
    made, groups = Policy(setup.model, setup.codec, path, way), flat(setup)
    trees = [made.tree(group) for group in groups]
    with torch.no_grad():
        whole = made(trees)["logp"]
        parts = [made([trees[index] for index in part])["logp"] for part in by_tokens(trees, 1)]
    for number, part in enumerate(parts):
        torch.testing.assert_close(whole[4 * number : 4 * number + 4], part, rtol=0, atol=1e-11)
    assert by_tokens(trees, 10**9) == [list(range(len(trees)))]


def test_flex_attention_sees_the_same(setup: Setup) -> None:
    """Forward alone: FlexAttention has no backward pass on a CPU."""
    with torch.no_grad():
        found, expected = ([Policy(setup.model, setup.codec, "packed", way)] for way in ("flex", "dense"))
        for case in (flat, forked):
            one, other = (p([p.tree(g) for g in case(setup)])["logp"] for p in (*found, *expected))
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)  # its softmax is in float32


@pytest.mark.parametrize(("path", "way"), FAST)
def test_gradient_checkpointing(setup: Setup, path: Path, way: Way | None) -> None:
    model = copy.deepcopy(setup.model).train()
    expected, wanted = loss_and_gradients(Policy(model, setup.codec, path, way), forked(setup))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    if path == "cache":
        with pytest.raises(UserError, match=r"use grpo\.path=packed"):
            Policy(model, setup.codec, path, way)
        return
    found, grads = loss_and_gradients(Policy(model, setup.codec, path, way), forked(setup))
    assert found == pytest.approx(expected, rel=1e-12)
    for name, value in wanted.items():
        torch.testing.assert_close(grads[name], value, rtol=1e-9, atol=1e-12)


def test_each_prompt_and_picture_once(setup: Setup) -> None:
    groups = flat(setup)
    media = len({m.key for group in groups for m in group[0].media})
    for path, prompts in (("packed", 1), ("cache", 1), ("naive", 4)):
        made = Policy(setup.model, setup.codec, path)
        made([made.tree(group) for group in groups])
        count = made.counts[True]
        assert count["prompt_forwards"] == prompts * len(groups) == prompts * count["groups"]
        if media:
            assert count["media"] == media
            assert (count["vision_passes"] == media) is (path != "naive")
        assert (count["unique_tokens"] < count["naive_tokens"]) is (path != "naive")
        logged = made.counters()
        assert logged["prompt_forwards_per_group"] == prompts
        assert path == "naive" or logged["vision_passes_per_group"] == (1.0 if media else 0.0)


def test_what_does_not_fit_is_named(setup: Setup) -> None:
    made = Policy(setup.model, setup.codec)
    with pytest.raises(UserError, match="group g has no rollouts"):
        made.tree([], "g")
    with pytest.raises(UserError, match="group g: rollout 1 has another prompt"):
        made.tree([Branch([1, 2], [3]), Branch([1, 4], [3])], "g")
    if not setup.codec.visual_ids or setup.codec.images is None:
        return
    cut = marks(setup, picture(1))[:-3]
    with pytest.raises(UserError, match=r"g rollout 0: 2 visual tokens .* 4 features of its 1 pictures"):
        made.tree([Branch([1, 2], cut, (picture(1),))], "g")
