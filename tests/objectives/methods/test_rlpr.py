"""The reference in the answer's place, the gain in its probability, and the filter on the spread of rewards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim, Sampling
from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.load import load_model
from mmreason.models.policy import Policy
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.rlpr import RLPR, answer_start, before_answer
from mmreason.objectives.passes import teacher_forced
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.rollout import Segment, SegmentKind

SOURCE = Source("own", "train", "MIT", "0")
PROMPT = (7, 8)
GOOD = "<think>two and two</think><answer>\\boxed{4}</answer>"
POOR = "<think>?</think><answer>\\boxed{5}</answer>"


@pytest.fixture(scope="module")
def codec() -> Codec:
    words = ["two and two", "\\boxed{4}", "</answer>", "\u7b54\u6848 \u56db"]
    return Codec(train_tokenizer(words * 4, 340), None, None)


def answer(text: str, codec: Codec, stop: Stop = Stop.EOS) -> Rollout:
    ids = tuple(codec.encode_response(text))
    return Rollout(PROMPT, ids, (0.0,) * len(ids), text, stop)


def ask(gold: str = "44") -> Sample:
    return Sample("q7", SOURCE, (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, gold))


class Scorer:
    """Hand-set probabilities of the reference's tokens: by whether `good` reasoning, any, or none stands before."""

    def __init__(self, codec: Codec, good: Sequence[float], poor: Sequence[float], bare: Sequence[float]) -> None:
        self.codec, self.good, self.poor, self.bare = codec, good, poor, bare
        self.seen: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[Encoded, Sequence[int]]]) -> list[torch.Tensor]:
        out = []
        for prompt, ids in pairs:
            before = self.codec.decode(prompt.ids[len(PROMPT) :])
            self.seen.append((before, self.codec.decode(list(ids))))
            chosen = self.bare if not before else self.good if "two and two" in before else self.poor
            out.append(torch.tensor(chosen, dtype=torch.float64).log())
        return out


def context(step: int, codec: Codec, scorer: Scorer | None) -> Context:
    return Context(step, 99, 0, 2, Sampling(), codec=codec, score=scorer)


def make(rollouts: list[Rollout], reward: list[float] | None = None, groups: list[int] | None = None) -> Batch:
    n = len(rollouts)
    return make_batch(rollouts, [ask()] * n, groups or [0] * n, reward or [0.0] * n, [0.0] * n)


def test_the_gain_by_hand(codec: Codec) -> None:
    """Tokens of a*: (0.9 + 0.5) / 2 = 0.7 after good reasoning, 0.1 after poor, 0.2 alone: 0.5, and -0.1 clipped."""
    scorer = Scorer(codec, [0.9, 0.5], [0.1, 0.1], [0.3, 0.1])
    rows = [answer(GOOD, codec), answer(POOR, codec), answer("<think>two and", codec, Stop.LENGTH)]
    method, ctx = RLPR(), context(1, codec, scorer)
    found = method.reward(make(rows), ctx)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64), rtol=1e-12, atol=1e-12)
    before = GOOD.partition("4")[0], POOR.partition("5")[0]
    assert scorer.seen == [("", "44"), (before[0], "44"), (before[1], "44")]
    method.reward(make(rows), ctx)
    assert len(scorer.seen) == 3  # a refill asks for nothing twice
    method.reward(make(rows), context(2, codec, scorer))
    assert len(scorer.seen) == 6  # another step has another policy


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("<think>a</think><answer>\\boxed{4}</answer>", "<think>a</think><answer>\\boxed{"),
        ("<think>\\boxed{9}</think> so \\boxed{ 93.5 }\\%", "<think>\\boxed{9}</think> so \\boxed{ "),
        ("\\boxed{\\boxed{b}}", "\\boxed{\\boxed{"),
        ("\\boxed{\\frac{1}{2}}", "\\boxed{"),
        ("<answer> red </answer> thanks", "<answer> "),
        ("first \\boxed{1}, then \\boxed{2}", "first \\boxed{1}, then \\boxed{"),
        ("\\boxed{1} or \\boxed{2}", "\\boxed{"),
        ("<answer>4</answer><answer>5</answer>", None),
        ("<think>\\boxed{4}", None),
        ("four", None),
        ("\\boxed{}", None),
    ],
)
def test_where_the_answer_begins(text: str, before: str | None) -> None:
    found = answer_start(text, opened_think=False)
    assert (None if found is None else text[:found]) == before


def test_sampled_ids_stay_up_to_the_answer(codec: Codec) -> None:
    rollout = answer(GOOD, codec)
    begun = before_answer(rollout, codec, False)
    assert begun is not None
    assert codec.decode(list(begun)) == GOOD.partition("4")[0]
    common = next(n for n, (a, b) in enumerate(zip((*begun, -1), rollout.ids, strict=False)) if a != b)
    assert len(begun) - common <= 1  # at most the token that holds the border is another one


def test_a_token_over_the_border_is_tokenised_up_to_it() -> None:
    """ " red" is one token, and the answer begins behind its space; ids before it stay as they are."""
    codec = Codec(train_tokenizer([" red red red"] * 9, 340), None, None)
    rollout = answer("so<answer> red</answer>", codec)
    assert " red" in [codec.decode([token]) for token in rollout.ids]
    begun = before_answer(rollout, codec, False)
    assert begun is not None and codec.decode(list(begun)) == "so<answer> "
    assert begun[:-1] == rollout.ids[: len(begun) - 1]


def test_wide_characters_before_the_answer(codec: Codec) -> None:
    text = "\u7b54\u6848\uff1a<answer>\u56db\u5341</answer>"
    begun = before_answer(answer(text, codec), codec, False)
    assert begun is not None and codec.decode(list(begun)) == text.partition("\u56db")[0]


def test_the_answer_behind_a_tools_reply(codec: Codec) -> None:
    """The tool's own box is no answer; its ids stay in the context."""
    first, tool, last = (codec.encode_response(t)[:-1] for t in ("<think>look", "\\boxed{1}", "</think>\\boxed{4}"))
    ids = (*first, *tool, *last)
    bounds = [0, len(first), len(first) + len(tool), len(ids)]
    kinds = (SegmentKind.MODEL, SegmentKind.TOOL, SegmentKind.MODEL)
    pieces = tuple(Segment(a, b, kind) for a, b, kind in zip(bounds, bounds[1:], kinds, strict=False))
    rollout = Rollout(PROMPT, ids, (0.0,) * len(ids), "", Stop.EOS, pieces)
    begun = before_answer(rollout, codec, False)
    assert begun is not None and codec.decode(list(begun)) == "<think>look\\boxed{1}</think>\\boxed{"
    unclosed = Rollout(PROMPT, ids[: bounds[2]] + tuple(tool), (0.0,) * (bounds[2] + len(tool)), "", Stop.EOS, pieces)
    assert before_answer(unclosed, codec, False) is None


def test_the_filter_and_its_running_mean(codec: Codec) -> None:
    """Deviations 0.5, 0.1 and 0: mean 0.2 at the first step; then 0.4, 0.05 and 0: mean 0.15, plain mean 0.175.

    With one step of start, step 2 filters at 0.5 x 0.2 = 0.1 and moves 0.2 by a hundredth towards 0.15.
    """
    rows, groups = [answer(GOOD, codec)] * 6, [0, 0, 1, 1, 2, 2]
    method = RLPR(RLPR.Settings(start=1))
    ctx = context(1, codec, None)
    first = make(rows, [1.0, 0.0, 0.6, 0.4, 0.3, 0.3], groups)
    assert method.select(first, ctx) == [0, 1, 2]
    method.observe(first, ctx)
    assert method.mean == pytest.approx(0.2)
    ctx = context(2, codec, None)
    second = make(rows, [0.9, 0.1, 0.5, 0.4, 0.0, 0.0], groups)
    assert method.select(second, ctx) == [0]
    assert method.select(second, ctx) == [0]  # asked again, nothing has moved
    method.observe(second.take([0, 1]), ctx)
    assert method.mean == pytest.approx(0.2 + 0.01 * (0.15 - 0.2))
    assert ctx.logged["method/rlpr/spread"] == pytest.approx(0.15)
    assert ctx.logged["method/rlpr/dropped"] == 2.0

    plain = RLPR(RLPR.Settings(start=2))
    for step, batch in ((1, first), (2, second)):
        assert plain.select(batch, context(step, codec, None)) == [0, 1, 2]
        plain.observe(batch, context(step, codec, None))
    assert plain.mean == pytest.approx(0.175)


def test_a_run_without_any_spread_drops_nothing(codec: Codec) -> None:
    method, batch = RLPR(RLPR.Settings(start=0)), make([answer(GOOD, codec)], [0.4])
    for step in (1, 2):
        assert method.select(batch, context(step, codec, None)) == [0]
        method.observe(batch, context(step, codec, None))
    assert method.mean == 0.0


def test_rows_without_an_answer_are_counted(codec: Codec) -> None:
    method, ctx = RLPR(), context(1, codec, Scorer(codec, [0.5], [0.5], [0.1]))
    batch = make([answer("four", codec), answer(GOOD, codec)])
    assert method.reward(batch, ctx).tolist() == pytest.approx([0.0, 0.4])
    method.select(batch, ctx)
    method.observe(batch, ctx)
    assert ctx.logged["method/rlpr/unanswered"] == 1.0


def test_state_round_trip(codec: Codec) -> None:
    method, resumed, batch = RLPR(), RLPR(), make([answer(GOOD, codec)] * 2, [1.0, 0.0])
    method.select(batch, context(1, codec, None))
    method.observe(batch, context(1, codec, None))
    assert method.state() == {"mean": 0.5, "steps": 1}
    resumed.load(method.state())
    assert resumed.state() == method.state()


def test_what_is_missing_is_named(codec: Codec) -> None:
    with pytest.raises(UserError, match="rlpr scores reference answers under the policy"):
        RLPR().reward(make([answer(GOOD, codec)]), context(1, codec, None))
    empty = make([answer(GOOD, codec)])
    empty.samples = [ask(gold="")]
    with pytest.raises(UserError, match="sample q7 has no reference answer"):
        RLPR().reward(empty, context(1, codec, Scorer(codec, [1.0], [1.0], [1.0])))


def test_gains_are_those_of_the_policy(tmp_path: Path) -> None:
    """A tiny model in float64: each gain is the difference of two plain forwards over prompt, reasoning, reference."""
    sizes = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=320, init_std=0.3)
    build_tiny(sizes, train_tokenizer(["one and two"], sizes.vocab), 0, tmp_path / "model")
    model, codec = load_model(tmp_path / "model", "float64"), Codec.load(tmp_path / "model")
    grpo = GrpoSettings(optim=Optim(lr=1e-6), steps=1)
    score = partial(teacher_forced, Policy(model, codec, "packed"), pad_id=codec.pad_id, grpo=grpo)
    texts = [f"<think>{word}</think><answer>\\boxed{{9}}</answer>" for word in ("one", "44", "and two", "", "4 4 4")]
    rows = [answer(text, codec) for text in texts]
    gold = codec.encode_response("44")[:-1]

    def mean_probability(context: Sequence[int]) -> float:
        with torch.no_grad():
            logits = model(torch.tensor([[*context, *gold]])).logits[0, len(context) - 1 : -1]
        logits[:, codec.visual_ids] = -torch.inf  # the policy never samples them
        return float(logits.softmax(-1)[torch.arange(len(gold)), gold].mean())

    bare = mean_probability(PROMPT)
    full = [mean_probability((*PROMPT, *codec.encode_response(text.partition("9")[0])[:-1])) for text in texts]
    expected = [min(max(each - bare, 0.0), 1.0) for each in full]
    assert 0.0 < max(expected)
    ctx = Context(1, 9, 0, 5, Sampling(), codec=codec, score=score)
    assert RLPR().reward(make(rows), ctx).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
