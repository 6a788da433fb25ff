"""One suite, one model: questions, answers, scores, results file; resumable."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval.evaluator import evaluate

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.protocol import Protocol
from mmreason.rewards.reward import load_reward
from mmreason.rollout.engine import Engine
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder
from mmreason.run.progress import say
from mmreason.suites import question_only
from mmreason.suites.answers import AnswerStore, model_hash, samples_hash
from mmreason.suites.judged import check_judge, judged
from mmreason.suites.lm import MmreasonLM
from mmreason.suites.reading import SuiteData, read_suite, suite_protocol
from mmreason.suites.results import describe, read_results, results_json, write_results
from mmreason.suites.suite import Suite, suite_domain
from mmreason.suites.task import SuiteTask


def train_documents(folder: RunFolder) -> dict[str, int] | None:
    """Document -> training rows cut from it, as the data stage wrote it; None when this run has no data stage."""
    path = folder.data / "train_documents.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def trained_protocol(model: Path | str) -> str | None:
    """The protocol hash that a checkpoint was trained under (protocol.json beside its weights), if it has one."""
    path = Path(model) / "protocol.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["hash"]) if path.is_file() else None


def _key(
    suite: Suite, data: SuiteData, protocol: Protocol, recipe: Recipe, domain: Domain, model: Path | str
) -> dict[str, Any]:
    """What makes two evaluations the same one: saved answers and finished results are reused only under it."""
    settings = recipe.eval
    return {
        "suite": suite.name,
        "version": suite.version,
        "questions": samples_hash(data.samples),
        "protocol": protocol.hash,
        "model": model_hash(model),
        "sampling": settings.sampling.model_dump(mode="json"),  # compared with what was read from JSON
        "runs": settings.runs,
        "batch": settings.batch,
        "seed": recipe.seeds.sampling,
        "engine": settings.engine,
        "dtype": recipe.model.dtype,
        "judge": None if settings.judge is None else settings.judge.model,
        **({"baselines": suite.baselines} if question_only.NAME in suite.baselines else {}),
        **(
            {}
            if domain.file.environment is None
            else {"environment": domain.file.environment, "options": recipe.options}
        ),
    }


def _config(recipe: Recipe, model: Path | str) -> dict[str, Any]:
    settings = recipe.eval
    return {
        "model": "mmreason",
        "model_args": {"path": Path(model).name if Path(model).is_dir() else str(model)},
        "model_dtype": recipe.model.dtype,
        "batch_size": settings.batch,
        "limit": settings.limit,
        "gen_kwargs": {**settings.sampling.model_dump(), "runs": settings.runs},
        "random_seed": recipe.seeds.sampling,
        "bootstrap_iters": 0,
    }


def _git_hash(folder: RunFolder) -> str | None:
    if not folder.manifest.is_file():
        return None
    commit = json.loads(folder.manifest.read_text(encoding="utf-8")).get("commit")
    return None if commit is None else str(commit)


def _generation(protocol: Protocol) -> dict[str, Any]:
    """What the protocol says of generation, as lm-eval's arguments."""
    limit = {} if protocol.max_new_tokens is None else {"max_gen_toks": protocol.max_new_tokens}
    return {"until": list(protocol.stop), **limit}


def _list_missing(path: Path, missing: list[str]) -> None:
    if missing:
        write_text(path, "".join(f"{name}\n" for name in dict.fromkeys(missing)))


def _model_class(engine: Engine, recipe: Recipe, store: AnswerStore, title: str) -> MmreasonLM:
    settings = recipe.eval
    seed, shared = recipe.seeds.sampling, settings.share_prompts
    return MmreasonLM(engine, engine.codec, settings.sampling, settings.batch, seed, shared, store, title)


def _asked(protocol: Protocol, trained: str | None) -> dict[str, Any]:
    """How the questions were put, and whether the checkpoint was trained on them put that way."""
    return {
        "protocol": protocol.hash,
        "protocol_fields": protocol.to_dict(),
        "reader_version": protocol.reader_version,
        "trained_protocol": trained,
        "protocol_differs": trained not in (None, protocol.hash),
    }


def evaluate_suite(
    suite: Suite,
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    stage: str,
    engine: Engine,
    data_dir: Path | None,
    model: Path | str,
) -> dict[str, Any]:
    """Answer and score one suite through lm-eval's evaluator; the results lie at eval/<stage>/<suite>.json.

    Finished results under the same key are returned as they are; a stopped evaluation continues.
    """
    settings = recipe.eval
    if settings.baselines is not None:
        suite = suite.model_copy(update={"baselines": settings.baselines})
    if settings.runs > 1 and settings.sampling.temperature == 0:
        raise UserError("eval.runs is over 1 at temperature 0: all answers would be equal; set eval.sampling")
    path = folder.eval / stage / f"{suite.name}.json"
    data = _read(suite, recipe, domain, folder, data_dir, path)
    check_judge(suite, data.samples, settings.judge)
    protocol = suite_protocol(suite, domain, settings.prompt)
    key = _key(suite, data, protocol, recipe, domain, model)
    title = f"eval {stage} {suite.name}"
    if path.is_file() and read_results(path)["mmreason"]["key"] == key:
        say(f"{title}: finished before, not run again")
        return read_results(path)
    trained = trained_protocol(model)
    if trained not in (None, protocol.hash):
        say(f"{title}: protocol {protocol.hash} differs from the checkpoint's {trained}")
    task = _task(suite, data, protocol, recipe, domain, folder)
    store = AnswerStore(path.with_name(f"{suite.name}.answers.jsonl"), key)
    before = engine.codec.media_counts()
    lm = _model_class(engine, recipe, store, title)
    ran = evaluate(lm, {"tasks": {suite.name: task}, "groups": {}}, bootstrap_iters=0, log_samples=False)
    provenance = {
        "stage": stage,
        "key": key,
        "git_hash": _git_hash(folder),
        **_asked(protocol, trained),
        "split": data.split,
        "available": data.available,
        "dropped": data.dropped,
        "intended_use": suite_domain(suite, domain).file.intended_use,
        "prompts": dict(lm.counts),
        "media": {name: now - before[name] for name, now in engine.codec.media_counts().items()},
    }
    if question_only.NAME in suite.baselines:
        provenance["baselines_skipped"] = _beside(task, recipe, domain, engine, store, path, title)
    results = {**ran, **results_json(task.suite, task.summary, task.records, _config(recipe, model), provenance)}
    write_results(path, results, task.records)
    store.remove()  # the samples file holds every answer now
    say(describe(results))
    return results


def _task(
    suite: Suite, data: SuiteData, protocol: Protocol, recipe: Recipe, domain: Domain, folder: RunFolder
) -> SuiteTask:
    """The suite as lm-eval's evaluator takes it, graded by the recipe's reward."""
    settings = recipe.grpo.reward if recipe.grpo else RewardSettings()
    return SuiteTask(
        suite,
        data.samples,
        protocol,
        load_reward(settings, domain, recipe.options, lenient=protocol.ladder),
        _generation(protocol),
        recipe.eval.runs,
        train_documents(folder),
        partial(judged, endpoint=recipe.eval.judge, cache=folder.eval),
    )


def _beside(
    task: SuiteTask, recipe: Recipe, domain: Domain, engine: Engine, answers: AnswerStore, path: Path, title: str
) -> dict[str, str]:
    """Add the question-only baseline to the summary of a finished task; where there is none: baseline -> why."""
    name = question_only.NAME
    why = question_only.skipped(task.samples, domain.file.environment)
    if why:
        return {name: why}
    bare = [question_only.without_media(sample) for sample in task.samples]
    suite = question_only.bare_suite(task.suite)
    blind = SuiteTask(suite, bare, task.protocol, task.reward, task.generation, task.runs)
    store = AnswerStore(path.with_name(f"{task.suite.name}.{name}.answers.jsonl"), {**answers.key, "asked": name})
    lm = _model_class(engine, recipe, store, f"{title}, question only")
    samples = path.with_name(f"{task.suite.name}.{name}.samples.jsonl")
    task.summary["baselines"].append(question_only.question_only(blind, lm, task.records, samples))
    store.remove()
    return {}


def _read(
    suite: Suite, recipe: Recipe, domain: Domain, folder: RunFolder, data_dir: Path | None, path: Path
) -> SuiteData:
    """The suite's questions; names of absent media go into a list beside the results, whatever becomes of them."""
    missing: list[str] = []
    settings, listed = recipe.eval, path.with_name(f"{suite.name}.missing_media.txt")
    try:
        return read_suite(
            suite,
            domain,
            data_dir,
            settings.limit,
            recipe.data.eval_fraction,
            made=folder.made,
            style=settings.prompt,
            subset=settings.subset,
            missing=missing,
        )
    finally:
        _list_missing(listed, missing)
