"""What the telling numbers of a run mean, in one line each, and the order in which a page shows them.

`training/README.md` explains every metric; a page shows those without a note in a second place.
"""

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
    "groups/all_right": "share of groups with right answers alone",
    "groups/all_wrong": "share of groups with wrong answers alone",
    "length": "mean tokens of an answer",
    "len/p95": "length that 95 % of the answers stay under",
    "len/ratio": "mean length of wrong answers over that of right ones",
    "truncated": "share of answers cut by the token limit",
    "repetition": "share of runs of 20 tokens that an answer repeats",
    "kl_ref": "divergence from the reference policy (k3 estimate)",
    "entropy": "mean entropy of the policy over generated tokens, in nats",
    "cov/mean": "covariance of advantage and log-probability; above 0 entropy will fall",
    "ratio/max": "largest ratio of new to old probability of a token",
    "clip_frac": "share of tokens whose ratio is clipped",
    "tokens/effective": "share of tokens with any weight in the loss",
    "grad_norm": "gradient norm before clipping",
    "lr": "learning rate",
    "mismatch/gap_mean": "mean gap between engine and trainer log-probabilities",
    "logprob_gap_max": "largest gap between engine and trainer log-probabilities",
    "mismatch/ess": "effective sample size under the gap, as a share",
    "media/decodes": "picture and clip files decoded since the process began; 0 after a restart with clips alone",
    "media/decoded_frames": "frames of clips decoded since the process began; each clip, frame and size once",
    "media/hits": "frame times and frames that came from the store on disk since the process began",
    "unique_token_share": "tokens computed in the update over those of rows computed alone",
}


def in_order(keys: Iterable[str]) -> list[str]:
    """Explained metrics in the order above, then the others by name."""
    order = {key: index for index, key in enumerate(METRIC_NOTES)}
    return sorted(keys, key=lambda key: (order.get(key, len(order)), key))
