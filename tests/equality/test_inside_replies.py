"""Replies inside the assistant's turn: the engine that keeps its cache against one that forwards everything again,
the trainer's numbers, and what carries a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Optim, Sampling
from mmreason.models.encode import Example
from mmreason.models.learner import Learner
from mmreason.models.policy import Policy
from mmreason.models.rows import example_rows, make_rows, response_logprobs
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import Composition, compose
from mmreason.objectives.credit import loss_weights
from mmreason.objectives.method import Context
from mmreason.objectives.update import grow, micro_loss, update
from mmreason.records import Rollout, Sample, SegmentKind, Stop
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.replay import replay
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

if TYPE_CHECKING:
    from conftest import Setup

STOPS = ("e", "a", "i", "r")
"""A model drawn at random says one of these soon."""
WARM = Sampling(temperature=0.9, max_new_tokens=90)
MODEL, TOOL, INJECTED = SegmentKind.MODEL, SegmentKind.TOOL, SegmentKind.INJECTED
TEXT = pytest.mark.parametrize("setup", ["qwen2"], indirect=True)


class Finds:
    """Answers a stopped turn inside it; the third one with text that graders read."""

    stop = STOPS

    def __init__(self) -> None:
        self.together: list[int] = []

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        return self.reply_all([(sample, rollout)], turn)[0]

    def reply_all(self, asked: Sequence[tuple[Sample, Rollout]], turn: int) -> list[Reply | None]:
        self.together.append(len(asked))
        return [self._one(rollout, turn) for _, rollout in asked]

    def _one(self, rollout: Rollout, turn: int) -> Reply | None:
        said = rollout.extras["said"][-1]
        if not any(stop in said for stop in STOPS):
            return None
        if turn == 2:
            return Reply(("<answer>",), inside=True, kind=INJECTED)
        return Reply(("\n<document>rent 4 2 ;" * (1 + len(said) % 2) + "\n",), inside=True, info={"turn": turn})


class Afresh:
    """The engine without what it keeps."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine, self.codec = engine, engine.codec

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        return self.engine.extend(requests, sampling, n, seed, asked)


def games(setup: Setup, engine: Any, environment: Any = None) -> list[list[Rollout]]:
    requests = [Request(sample, setup.codec.encode(sample)) for sample in setup.samples]
    return play(engine, setup.codec, requests, environment or Finds(), WARM, 3, 7, max_turns=4)


def made(setup: Setup) -> TransformersEngine:
    return TransformersEngine(setup.model, setup.codec)


def test_kept_and_afresh_say_the_same(setup: Setup) -> None:
    kept, afresh, environment = made(setup), made(setup), Finds()
    found, expected = games(setup, kept, environment), games(setup, Afresh(afresh))
    for a, b in zip((r for g in found for r in g), (r for g in expected for r in g), strict=True):
        assert (a.ids, a.segments, a.text, a.stop, a.extras) == (b.ids, b.segments, b.text, b.stop, b.extras)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-10)
    assert kept.forwarded_tokens < 0.7 * afresh.forwarded_tokens
    assert environment.together[0] == 3 * len(setup.samples)  # one call a turn, whatever the number of answers


def test_nothing_of_the_template_stands_between(setup: Setup) -> None:
    """The ids are those of what was said and replied, end to end, and only what was said is trained."""
    codec = setup.codec
    rollouts = [rollout for group in games(setup, made(setup)) for rollout in group]
    assert any(len(rollout.segments) >= 5 for rollout in rollouts)
    for rollout in rollouts:
        kinds = [piece.kind for piece in rollout.segments]
        assert kinds == [MODEL, TOOL, MODEL, TOOL, MODEL, INJECTED, MODEL][: len(kinds)]
        for piece in rollout.segments:
            ids = list(rollout.ids[piece.start : piece.end])
            if piece.kind is not MODEL:
                text = codec.tokenizer.decode(ids)
                assert ids == codec.tokenizer.encode(text, add_special_tokens=False)
                assert codec.eos_id not in ids and not any(rollout.trained[piece.start : piece.end])
                assert set(rollout.logprobs[piece.start : piece.end]) == {0.0}
        assert "document" not in rollout.text
        assert ("<answer>" in rollout.text) == (INJECTED in kinds)


def test_the_trainer_sees_the_numbers_of_the_engine(setup: Setup) -> None:
    for group, sample in zip(games(setup, made(setup)), setup.samples, strict=True):
        prompt = setup.codec.encode(sample)
        for rollout in group:
            rows = make_rows([prompt], [rollout.ids], setup.codec.pad_id, setup.model.device)
            with torch.no_grad():
                logp, _ = response_logprobs(setup.model, rows, 0.9, setup.codec.visual_ids)
            expected = torch.where(torch.tensor(rollout.trained), logp[0], 0.0)
            assert rollout.logprobs == pytest.approx(expected.tolist(), abs=1e-10)


def test_what_was_said_replayed_gives_the_same_ids(setup: Setup) -> None:
    """The cold start learns from the ids that RL will see. A turn that was tokenised otherwise than it is spelled
    (random models do that) is left out."""
    compared = 0
    for group, sample in zip(games(setup, made(setup)), setup.samples, strict=True):
        for rollout in group:
            said = rollout.extras["said"]
            own = [rollout.ids[p.start : p.end] for p in rollout.segments if p.kind is MODEL]
            plain = [tuple(setup.codec.tokenizer.encode(text, add_special_tokens=False)) for text in said]
            closed = [ids[:-1] if ids and ids[-1] == setup.codec.eos_id else ids for ids in own]
            ends = all(text.endswith(STOPS) for text in said[:-1])
            if rollout.stop is not Stop.EOS or closed != plain or not ends:
                continue
            again = replay(setup.codec, sample, setup.codec.encode(sample), Finds(), said, 5)
            assert (again.ids, again.segments) == (rollout.ids, rollout.segments)
            compared += 1
    trace = ["re", "count e", "a", "4 2"]
    again = replay(setup.codec, setup.samples[0], setup.codec.encode(setup.samples[0]), Finds(), trace, 5)
    assert again.stop is Stop.EOS and again.text == "re\ncount e\na<answer>4 2"
    assert again.ids.count(setup.codec.eos_id) == 1 and again.ids[-1] == setup.codec.eos_id


def batch_of(setup: Setup) -> tuple[Batch, torch.Tensor]:
    """Searching answers of every prompt, and an advantage for each."""
    groups = games(setup, made(setup))
    rows = [(place, rollout) for place, group in enumerate(groups) for rollout in group]
    samples, zeros = [setup.samples[place] for place, _ in rows], [0.0] * len(rows)
    batch = make_batch([r for _, r in rows], samples, [place for place, _ in rows], zeros, zeros, {})
    advantage = torch.linspace(-1.0, 1.1, len(rows), dtype=torch.float64).unsqueeze(1) * torch.ones(batch.mask.shape)
    return batch, advantage


@TEXT
@pytest.mark.parametrize("path", ["packed", "cache", "naive"])
def test_results_have_no_gradient_at_all(setup: Setup, path: Any) -> None:
    """Policy, divergence and entropy: exactly as many last hidden states have a gradient as tokens were said."""
    batch, advantage = batch_of(setup)
    values = {"optim": {"lr": 1e-3}, "steps": 1, "kl_beta": 0.3, "methods": ["siren"]}  # an entropy term
    grpo = GrpoSettings.model_validate(values)
    ctx, methods = Context(1, 1, 0, 3, WARM), compose(grpo)
    policy = Policy(setup.model, setup.codec, path)
    batch.aux = {"logp_ref": torch.full(batch.mask.shape, -4.0, dtype=torch.float64)}
    asked: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        given[0].retain_grad()
        asked.append(given[0])

    handle = setup.model.lm_head.register_forward_pre_hook(keep)
    weights = loss_weights(batch, grpo, methods, ctx)
    tokens, scalar = micro_loss(policy, batch, grow(policy, batch), advantage, weights, grpo, methods, ctx)
    (tokens + scalar).backward()
    handle.remove()
    setup.model.zero_grad(set_to_none=True)
    said = {
        (rollout.prompt_ids, rollout.ids[:place])
        for rollout in batch.rollouts
        for place, own in enumerate(rollout.trained)
        if own
    }
    moved = sum(int((part.grad.abs().sum(-1) > 0).sum()) for part in asked if part.grad is not None)
    assert sum(part.shape[-2] for part in asked) >= moved
    trained = int(batch.mask.sum())
    assert moved == trained if path == "naive" else len(said) <= moved <= trained  # beginnings may be shared
    assert any(not all(rollout.trained) for rollout in batch.rollouts)


@TEXT
def test_what_stands_at_result_tokens_changes_no_gradient(setup: Setup, tmp_path: Path) -> None:
    """Advantages and reference log-probabilities there may be anything: not one bit of an update moves."""
    batch, advantage = batch_of(setup)
    grpo = GrpoSettings.model_validate({"optim": {"lr": 1e-3}, "steps": 1, "kl_beta": 0.3})
    ctx, before = Context(1, 1, 0, 3, WARM), {k: v.clone() for k, v in setup.model.state_dict().items()}
    gradients = []
    for filling in (0.0, 7.5):
        policy = Policy(setup.model, setup.codec)
        learner = Learner(policy, Optim(lr=1e-3), 1, tmp_path)
        batch.aux = {"logp_ref": torch.where(batch.mask, -2.0, filling)}
        odd = torch.where(batch.mask, advantage, filling)
        weights = loss_weights(batch, grpo, Composition(), ctx)
        update(learner, batch, grow(policy, batch), odd, weights, grpo, Composition(), ctx, 1)
        gradients.append([parameter.detach().clone() for parameter in setup.model.parameters()])
        setup.model.load_state_dict(before)
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


@TEXT
def test_the_cold_start_masks_results_too(setup: Setup) -> None:
    sample = setup.samples[0]
    prompt = setup.codec.encode(sample)
    played = replay(setup.codec, sample, prompt, Finds(), ["re", "count e", "4 2"], 5)
    example = Example(sample, prompt, list(played.ids), played.media, tuple(played.trained))
    rows = example_rows([example], setup.codec.pad_id, torch.device("cpu"))
    said = [id_ for id_, own in zip(played.ids, rows.mask[0].tolist(), strict=True) if own]
    assert setup.codec.decode(said) == "recount e4 2" and rows.attention.all()
