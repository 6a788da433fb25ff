"""RLPR: the reward is how much likelier the reasoning makes the reference answer, under the policy itself.

    r = clip( mean_t p(a*_t | q, z) - mean_t p(a*_t | q), 0, 1 )

p is the probability of a token of the reference answer a* under the present policy; z is all that the answer says
before its final answer, in whose place a* stands. Groups whose rewards spread less than beta times their running mean
spread are dropped. No verifier is asked; a row without a final answer has reward 0.

The text before the answer keeps its sampled ids; only characters of a token that reaches into the answer, and the
reference itself, are tokenised. The first steps average the spread plainly, later ones with `decay`.
"""

from __future__ import annotations

from typing import Any

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method
from mmreason.records import Rollout, Sample
from mmreason.records.rollout import SegmentKind
from mmreason.rewards.extract import after_thinking, find_boxes, read_answer, trailing_run
from mmreason.run import processes

Key = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Sample, prompt, and the answer's ids before the reference."""


class RLPR(Method):
    """RewardTerm in place of the reward, and GroupPolicy. Counters: rows without an answer, dropped groups, spread."""

    source = "RLPR, arXiv 2506.18254"
    combine = "replace"

    class Settings(Strict):
        """The filter; with groups of 8, clip 0.2 and 0.27, no KL term."""

        beta: Coefficient = 0.5
        """Share of the mean spread below which a group is dropped [published; up to 1, depending on the model]."""
        decay: float = 0.99
        """Of the running mean [published]."""
        start: int = 10
        """Steps without filter [published: about 10]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.mean: float | None = None
        """Running mean of a group's deviation of rewards."""
        self.steps = 0
        self._step = 0
        self._held: dict[Key, float] = {}
        self._spread: dict[int, float] = {}
        self._dropped = self._unanswered = 0

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        if ctx.score is None or ctx.codec is None:
            raise UserError(
                "method rlpr scores reference answers under the policy, and this run gives it no tokenizer or scorer"
            )
        if ctx.step != self._step:
            self._step, self._held = ctx.step, {}
        opens = ctx.codec.opens_think
        bare = [self._ask(batch, row, (), ctx.codec) for row in range(len(batch))]
        begun = [before_answer(rollout, ctx.codec, opens) for rollout in batch.rollouts]
        full = {row: self._ask(batch, row, ids, ctx.codec) for row, ids in enumerate(begun) if ids is not None}
        self._unanswered = len(batch) - len(full)
        asked = dict([*bare, *full.values()])
        new = [key for key in asked if key not in self._held]
        for key, logp in zip(new, ctx.score([asked[key] for key in new]), strict=True):
            self._held[key] = float(logp.double().exp().mean())
        gains = [
            self._held[full[row][0]] - self._held[bare[row][0]] if row in full else 0.0 for row in range(len(batch))
        ]
        return torch.tensor(gains, dtype=torch.float64).clamp(0.0, 1.0)

    def _ask(
        self, batch: Batch, row: int, begun: tuple[int, ...], codec: Codec
    ) -> tuple[Key, tuple[Encoded, list[int]]]:
        """The reference after the row's prompt and `begun`, as a key and what to score."""
        rollout, sample = batch.rollouts[row], batch.samples[row]
        media = batch.media[row] if batch.media else ()
        media = media if begun else media[: len(media) - len(rollout.media)]
        context = Encoded([*rollout.prompt_ids, *begun], media)
        return (sample.id, rollout.prompt_ids, begun), (context, reference_ids(sample, codec))

    def select(self, batch: Batch, ctx: Context) -> list[int]:
        rows = {number: batch.reward[batch.rows_of(number)] for number in batch.numbers()}
        self._spread = {number: float(values.std(correction=0)) for number, values in rows.items()}
        filtering = self.mean is not None and ctx.step > self.settings.start
        bound = self.at(self.settings.beta, ctx) * (self.mean or 0.0) if filtering else 0.0
        kept = [number for number, spread in self._spread.items() if spread >= bound]
        self._dropped = len(rows) - len(kept)
        return kept

    def observe(self, batch: Batch, ctx: Context) -> None:
        """Fold the spread of all groups of the step, dropped ones too, into the running mean."""
        count = processes.total(len(self._spread))
        if count == 0:
            return
        spread = processes.total(sum(self._spread.values())) / count
        self.steps += 1
        rate = 1.0 / self.steps if self.steps <= self.settings.start else 1.0 - self.settings.decay
        self.mean = spread if self.mean is None else self.mean + rate * (spread - self.mean)
        self.log(ctx, "spread", spread)
        self.log(ctx, "dropped", self._dropped)
        self.log(ctx, "unanswered", self._unanswered)
        self._spread = {}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        self.mean, self.steps = state["mean"], int(state["steps"])


def reference_ids(sample: Sample, codec: Codec) -> list[int]:
    """Ids of the reference answer. Raises UserError for a sample without one."""
    if not sample.answer.gold:
        raise UserError(f"sample {sample.id} has no reference answer, which method rlpr scores: drop it from the data")
    return codec.encode_response(sample.answer.gold)[:-1]


def before_answer(rollout: Rollout, codec: Codec, opens_think: bool) -> tuple[int, ...] | None:
    """Ids of the answer up to where its final answer begins; None without one.

    The final answer is sought behind the last tool reply. A token that holds the border is tokenised anew up to it.
    """
    tool = max((piece.end for piece in rollout.pieces if piece.kind is SegmentKind.TOOL), default=0)
    before, rest = codec.decode(list(rollout.ids[:tool])), list(rollout.ids[tool:])
    text = codec.decode(rest)
    start = answer_start(text, (opens_think or "<think>" in before) and "</think>" not in before)
    if start is None:
        return None
    kept = whole_tokens(rest, text[:start], codec)
    cut = text[len(codec.decode(rest[:kept])) : start]
    return (*rollout.ids[: tool + kept], *codec.encode_response(cut)[:-1])


def answer_start(text: str, opened_think: bool) -> int | None:
    """Where the final answer begins: inside the first box of the last run, else the answer block; None without one."""
    if read_answer(text, opened_think=opened_think).text is None:
        return None
    rest = after_thinking(text, opened_think) or ""
    head, tag, block = rest.partition("<answer>")
    where = block.partition("</answer>")[0] if tag else rest
    start = len(text) - len(rest) + (len(head + tag) if tag else 0)
    boxes = find_boxes(where)
    if not boxes:
        return start + len(where) - len(where.lstrip())
    box = trailing_run(where, boxes)[0]
    content = box.content.rstrip("%\uff05").strip() or box.content
    return start + where.rindex(content, box.start, box.end)  # the last place: nested boxes come before the content


def whole_tokens(ids: list[int], beginning: str, codec: Codec) -> int:
    """The most ids from the start whose text does not reach beyond `beginning`."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(codec.decode(ids[:middle])) <= len(beginning) else (low, middle - 1)
    while not beginning.startswith(codec.decode(ids[:low])):  # a character of several tokens, not yet whole
        low -= 1
    return low
