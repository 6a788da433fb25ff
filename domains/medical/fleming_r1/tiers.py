"""Three tiers of difficulty: by rule, by a model, and the measured pass rate beside them.

Easy: what any practitioner knows; moderate: detailed knowledge or a step between; difficult: specialised, several
steps, or rare (arXiv 2509.15279, 3.1). Tiers are reported by; sampling goes by pass rates, since labels of a model say
little about what another fails (reconstructed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from mmreason.data.ambiguity import judge_chat, with_options
from mmreason.data.judge import ask_object
from mmreason.data.selection import Trial
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.records import Sample


class Tier(StrEnum):
    """The paper's three."""

    EASY = "easy"
    MODERATE = "moderate"
    DIFFICULT = "difficult"


def by_rule(hops: int, tail: bool) -> Tier:
    """One point for each hop beyond the first and one for a rare disease: 0 easy, 1 moderate, 2 or more difficult
    [reconstructed: the paper's words in what a graph can count]."""
    points = hops - 1 + tail
    return Tier.EASY if points == 0 else Tier.MODERATE if points == 1 else Tier.DIFFICULT


def kinds(tier: str, lengths: Sequence[int]) -> list[tuple[int, bool]]:
    """(hops, tail) of all kinds of item that the rule puts into a tier. Raises UserError where there are none."""
    sides = [(length, tail) for length in lengths for tail in (False, True)]
    found = [side for side in sides if by_rule(*side).value == tier]
    if not found:
        raise UserError(f"tier {tier}: paths of {list(lengths)} steps have none of it; expected {', '.join(Tier)}")
    return found


_TASK = """You sort medical exam questions by difficulty. Reply with one JSON object and nothing else:
{"tier": "easy" or "moderate" or "difficult"}
easy: common knowledge of any practitioner. moderate: detailed knowledge, or an inference between. difficult:
specialised knowledge, an inference of many steps, or a rare condition."""


def by_model(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: the judge endpoint's tier in place of the rule's, which is kept as `tier_rule`.

    A reply that cannot be read, or names no tier, is a drop: a tier that nobody gave would be made up.
    """
    chat = judge_chat(context)
    known = {tier.value for tier in Tier}

    def sort(sample: Sample) -> Sample | Drop:
        messages = [{"role": "system", "content": _TASK}, {"role": "user", "content": with_options(sample)}]
        said = ask_object(chat, messages, {"tier": str})
        tier = "" if said is None else said["tier"].strip().lower()
        if tier not in known:
            return Drop(sample.id, "tier", "tier_unread", repr(said), sample.to_dict())
        own = {"tier_rule": sample.metadata["tier"]} if "tier" in sample.metadata else {}
        return sample.with_meta(**own, tier=tier, tier_by=chat.endpoint.model)

    return map_stream(stream, sort, chat.endpoint.concurrency)


def with_pass_rates(samples: Sequence[Sample], trials: Mapping[str, Sequence[Trial]], model: str) -> list[Sample]:
    """The samples with `pass_rate[model]`, the share of right answers, beside the tier and older models' rates."""
    made = []
    for sample in samples:
        group = trials[sample.id]
        rates = {**sample.metadata.get("pass_rate", {}), model: sum(trial.right for trial in group) / len(group)}
        made.append(sample.with_meta(pass_rate=rates))
    return made


def table(samples: Sequence[Sample], model: str) -> dict[str, dict[str, float]]:
    """Tier -> number of samples and mean pass rate of `model`: whether the tiers say what the model finds hard."""
    rates: dict[str, list[float]] = {}
    for sample in samples:
        rates.setdefault(str(sample.metadata.get("tier", "none")), []).append(sample.metadata["pass_rate"][model])
    return {tier: {"items": len(own), "pass_rate": sum(own) / len(own)} for tier, own in sorted(rates.items())}
