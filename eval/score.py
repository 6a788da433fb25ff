"""Score a file of predictions without a model: the same rules and results file as an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mmreason.config import Domain, load_domain
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.protocol import READER_VERSION
from mmreason.rewards.reward import load_reward
from mmreason.run.progress import say
from mmreason.suites.judged import judged
from mmreason.suites.predictions import match_predictions, read_any
from mmreason.suites.reading import read_suite
from mmreason.suites.results import describe, results_json, write_results
from mmreason.suites.rules import applicable
from mmreason.suites.scoring import score_outputs
from mmreason.suites.suite import Suite, load_suite
from mmreason.suites.summary import summarise

Mode = Literal["strict", "official"]


def _shown(value: float) -> str:
    """A share in percent; a count as it is."""
    return f"{100 * value:.2f} %" if abs(value) <= 1 else f"{value:g}"


def _headline(results: dict[str, Any], mode: Mode) -> str:
    """The score asked for; the reference rules' scores carry their label only on a whole released split."""
    block = results["mmreason"]
    if mode == "strict":
        return describe(results)
    label = "official" if block["official"] else "reference rule, not official"
    scores = (
        f"{name} " + ", ".join(f"{key} {_shown(value)}" for key, value in score["numbers"].items())
        for name, score in block["summary"]["official"].items()
    )
    return f"{block['suite']}: {'; '.join(scores)} ({label}; {block['coverage']})"


def _domain_of(suite: Suite, folder: Path | None) -> Domain:
    if suite.domain is not None:
        return load_domain(project_dir() / "domains" / suite.domain)
    if folder is None:
        raise UserError(f"suite {suite.name!r} belongs to no domain: name the domain's folder with --domain")
    return load_domain(folder)


def main(
    suite: str,
    predictions: Path,
    mode: Mode = "strict",
    data_dir: Path | None = None,
    out: Path | None = None,
    domain: Path | None = None,
    form: str | None = None,
    subset: bool = False,
) -> dict[str, Any]:
    """Score `predictions` and write the results to `out`, by default beside it. No picture or clip is looked at.

    `form` names the shape of the file where it is neither ours ({"id", "output"} a line) nor the suite's first. A
    question without a prediction counts as not right and is listed. Raises UserError for ids that the suite does not
    have or that come twice, and for `official` on a suite without a reference rule. `domain` is the folder of a user's
    own domain, whose suites are known then too.
    """
    own = load_domain(domain) if domain else None
    chosen = load_suite(suite, own)
    if mode == "official" and chosen.metrics == ["strict"]:
        raise UserError(f"suite {suite!r} has no reference rule: score it with --mode strict")
    declared = _domain_of(chosen, domain)
    data = read_suite(chosen, declared, data_dir, made=predictions.parent / "made", subset=subset, need_media=False)
    outputs, missing = match_predictions(read_any(predictions, chosen, data.samples, form), data.samples, suite)
    chosen = applicable(chosen, (output.text for answers in outputs for output in answers))
    # Nobody knows how the questions were put, so answers are read by the ladder.
    records = score_outputs(chosen, data.samples, outputs, load_reward(RewardSettings(), declared, lenient=True))
    records, said = judged(chosen, data.samples, records, None, predictions.parent)
    summary = {**summarise(chosen, data.samples, records), "judged": said}
    provenance = {
        "stage": "predictions",
        "mode": mode,
        "predictions": predictions.name,
        "missing": missing,
        "protocol": None,
        "reader_version": READER_VERSION,
        "split": data.split,
        "available": data.available,
        "dropped": data.dropped,
    }
    config = {"model": "predictions", "model_args": {"file": predictions.name}}
    results = results_json(chosen, summary, records, config, provenance)
    path = out or predictions.with_name(f"{predictions.stem}.{suite}.json")
    write_results(path, results, records)
    if missing:
        say(f"{len(missing)} of {len(records)} questions have no prediction and count as not right, first {missing[0]}")
    say(_headline(results, mode))
    return results
