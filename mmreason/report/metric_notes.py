"""What the logged numbers mean, in one line each, and the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Iterable

METRIC_NOTES = {
    "loss": "what the optimiser minimises",
    "reward": "mean reward of the sampled answers",
    "accuracy": "share of sampled answers graded right",
    "format": "share of answers in the asked form",
    "unread": "share of answers that no grader could read",
    "empty_think": "share of answers with an empty think block",
    "zero_advantage_groups": "share of groups whose rewards are all equal: no gradient",
    "length": "mean tokens of an answer",
    "truncated": "share of answers cut by the token limit",
    "kl_ref": "divergence from the cold start (k3 estimate)",
    "entropy": "mean entropy of the policy over generated tokens, in nats",
    "clip_frac": "share of tokens whose ratio is clipped",
    "grad_norm": "gradient norm before clipping",
    "lr": "learning rate",
    "logprob_gap_max": "largest gap between engine and trainer log-probabilities",
}


def in_order(keys: Iterable[str]) -> list[str]:
    """Explained metrics in the order above, then the others by name."""
    order = {key: index for index, key in enumerate(METRIC_NOTES)}
    return sorted(keys, key=lambda key: (order.get(key, len(order)), key))
