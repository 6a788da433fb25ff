"""Sums and maxima over the loss tokens of one micro-batch, for `diagnostics_update.UpdateSums`.

Axes: n rows of a micro-batch, T widest answer, k loss tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mmreason.objectives.batch import Batch
from mmreason.objectives.diagnostics_rows import check_finite
from mmreason.objectives.kl import k3
from mmreason.objectives.method import Forward, Ratio
from mmreason.objectives.ratio import log_ratio

TOP_ENTROPY, TOP_COVARIANCE = 0.2, 0.002
Found = dict[str, torch.Tensor]
"""Name of a sum or of a maximum -> a number, not yet moved off its device."""


@dataclass
class Tokens:
    """What one micro-batch of an update knows, [n, T] where nothing else is said; gradients are ignored."""

    ids: Sequence[str]
    """Sample of each row, for errors."""
    mask: torch.Tensor
    """bool: loss tokens; what lies outside may be anything."""
    own: torch.Tensor
    """bool [n]: sampled by the policy."""
    engine: torch.Tensor
    """bool [n]: `roll` is the probability with which the row was sampled."""
    logp: torch.Tensor
    old: torch.Tensor
    roll: torch.Tensor
    advantage: torch.Tensor
    entropy: torch.Tensor
    ratio: Ratio | None = None
    reference: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    """Final weight in the loss, all shapers, masks and corrections included."""
    mismatch: torch.Tensor | None = None
    """Engine correction as applied; 0 drops a token."""


def tokens_of(
    micro: Batch,
    forward: Forward,
    advantage: torch.Tensor,
    reference: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    mismatch: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> Tokens:
    """`Tokens` of a micro-batch as the loop holds it; `mask` replaces the batch's own."""
    device, width = forward.logp.device, forward.logp.shape[1]
    own = ~micro.external
    alike = torch.tensor([rollout.same_context for rollout in micro.rollouts])
    roll = micro.logp_roll[:, :width]
    return Tokens(
        ids=[sample.id for sample in micro.samples],
        mask=(micro.mask if mask is None else mask)[:, :width].to(device),
        own=own.to(device),
        engine=(own & alike).to(device),
        logp=forward.logp,
        old=forward.old,
        roll=torch.nn.functional.pad(roll, (0, width - roll.shape[1])).to(device),
        advantage=advantage,
        entropy=forward.entropy,
        ratio=forward.ratio,
        reference=reference,
        weight=weight,
        mismatch=mismatch,
    )


def collect(t: Tokens, cap: float, dual_clip: float | None, first: bool) -> tuple[Found, Found]:
    """Sums and maxima of one micro-batch; `diagnostics_update` names and divides them."""
    own, engine = t.mask & t.own.unsqueeze(1), t.mask & t.engine.unsqueeze(1)
    advantage = (t.advantage if t.advantage.dim() == 2 else t.advantage.unsqueeze(1)).expand(t.mask.shape)
    _check(t, advantage, own, engine)
    sums = _tokens(t)
    peaks: Found = {}
    if own.any():
        sums |= _covariance(advantage[own].double(), t.logp[own].double(), t.old[own].double())
    if t.ratio is not None and own.any():
        more, tops = _ratio(t.ratio, own, advantage, dual_clip, first)
        sums, peaks = sums | more, peaks | tops
    if t.reference is not None and own.any():
        more, tops = _reference(t.logp[own].double(), t.reference[own].double())
        sums, peaks = sums | more, peaks | tops
    if engine.any():
        more, tops = _engine(t, engine, cap)
        sums, peaks = sums | more, peaks | tops
    return sums, peaks


def _check(t: Tokens, advantage: torch.Tensor, own: torch.Tensor, engine: torch.Tensor) -> None:
    remedy = "lower optim.lr, or set model.dtype to float32"
    check_finite("log-probability", t.logp, t.mask, t.ids, remedy)
    check_finite("entropy", t.entropy, t.mask, t.ids, remedy)
    check_finite("advantage", advantage, t.mask, t.ids, "look at its reward terms")
    check_finite("old log-probability", t.old, own, t.ids, remedy)
    check_finite("engine log-probability", t.roll, engine, t.ids, "compare the engine's weights with the trainer's")
    if t.ratio is not None:
        check_finite("ratio", t.ratio.ratio, own, t.ids, remedy)
    for name, value in (("reference log-probability", t.reference), ("loss weight", t.weight)):
        if value is not None:
            check_finite(name, value, t.mask, t.ids, remedy)


def _tokens(t: Tokens) -> Found:
    entropy = t.entropy[t.mask].double()
    sums = {
        "tokens": t.mask.sum(),
        "entropy": entropy.sum(),
        "entropy/top": _top_mean(entropy, TOP_ENTROPY) * len(entropy),
        "tokens/external": (t.mask & ~t.own.unsqueeze(1)).sum(),
    }
    if t.weight is not None:
        sums |= {"weighed": t.mask.sum(), "tokens/effective": (t.weight[t.mask] != 0).sum()}
    return sums


def _covariance(advantage: torch.Tensor, logp: torch.Tensor, old: torch.Tensor) -> Found:
    """[k] each. Tokens were sampled from the old policy, so k3 of KL(old || new) takes the ratio new / old."""
    joint = (advantage - advantage.mean()) * (logp - logp.mean())
    count = logp.new_tensor(float(len(logp)))
    return {
        "own": count,
        "kl/old": k3(old, logp).sum(),
        "a": advantage.sum(),
        "l": logp.sum(),
        "al": (advantage * logp).sum(),
        "cov/top": _top_mean(joint, TOP_COVARIANCE) * count,
    }


def _ratio(
    rule: Ratio, own: torch.Tensor, advantage: torch.Tensor, dual_clip: float | None, first: bool
) -> tuple[Found, Found]:
    ratio, gain = rule.ratio[own].double(), advantage[own]
    low, high = (torch.as_tensor(b, device=ratio.device).expand(own.shape)[own] for b in (rule.low, rule.high))
    above, below = (gain > 0) & (ratio > high), (gain < 0) & (ratio < low)
    dual = (gain < 0) & (ratio > dual_clip) if dual_clip is not None else torch.zeros_like(above)
    sums = {
        "ratio": own.sum(),
        "ratio/mean": ratio.sum(),
        "clip_frac": (above | below | dual).sum(),
        "clip/high": above.sum(),
        "clip/low": below.sum(),
        "clip/dual": dual.sum(),
    }
    peaks = {"ratio/max": ratio.max(), "ratio/min": -ratio.min()}
    return sums, peaks | ({"ratio/first_gap": (ratio - 1.0).abs().max()} if first else {})


def _reference(logp: torch.Tensor, reference: torch.Tensor) -> tuple[Found, Found]:
    """[k] each."""
    delta = log_ratio(reference, logp)
    sums = {"reference": delta.new_tensor(float(len(delta))), "kl_ref": k3(logp, reference).sum()}
    return sums | {"kl/ref_k1": -delta.sum()}, {"kl/ref_max": delta.abs().max()}


def _engine(t: Tokens, seen: torch.Tensor, cap: float) -> tuple[Found, Found]:
    """w = exp(l_old - l_roll) of tokens, its product over a row, and the ratio of perplexities of a row."""
    gap = torch.where(seen, log_ratio(t.old.double(), t.roll.double()), 0.0)
    flat, weight = gap[seen], gap[seen].exp()
    here = seen.any(1)
    row = gap.sum(1)[here]
    whole, perplexity = log_ratio(row, torch.zeros_like(row)).exp(), (-row / seen.sum(1)[here]).exp()
    sums = {
        "engine": seen.sum(),
        "mismatch/gap_mean": flat.abs().sum(),
        "mismatch/kl_k1": -flat.sum(),
        "mismatch/kl_k3": (weight - flat - 1.0).sum(),
        "mismatch/weight_mean": weight.sum(),
        "mismatch/over_cap": (weight > cap).sum(),
        "w": weight.sum(),
        "ww": weight.square().sum(),
        "engine_rows": here.sum(),
        "mismatch/ppl_ratio": perplexity.sum(),
        "rw": whole.sum(),
        "rww": whole.square().sum(),
    }
    if t.mismatch is not None:
        sums |= {"corrected": seen.sum(), "mismatch/dropped": (t.mismatch[seen] == 0).sum()}
    raw = (t.old.double() - t.roll.double())[seen].abs().max()
    return sums, {
        "logprob_gap_max": raw,
        "mismatch/weight_max": weight.max(),
        "mismatch/ppl_ratio_max": perplexity.max(),
    }


def _top_mean(values: torch.Tensor, share: float) -> torch.Tensor:
    """Mean of the largest `share` of values [k], at least of one; 0 for none."""
    if not len(values):
        return values.new_zeros(())
    return values.topk(max(1, math.ceil(share * len(values)))).values.mean()
