"""Data for both stages: read and filter every set, decontaminate, distil with verification, write with a report.

    mmreason data dianjin-r1                      the embedded ledgers
    mmreason data dianjin-r1 --data DIR           the released sets in DIR

Leaves in <run>/data: sft.parquet, sft_unverified.parquet (control arm), rl.parquet, rl_other.parquet (answer kinds
that RL does not take), dropped.jsonl, report.json, decontamination.json, train_documents.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.data.decontaminate import Pair, contamination_report, decontaminate
from mmreason.data.distil import distil, make_teacher
from mmreason.data.filters import too_long
from mmreason.data.pipeline import Built, build_dataset, drop_line, load_dataset
from mmreason.data.report import add_drops, dataset_entry, hashes, train_documents
from mmreason.data.sources import check_use, data_root
from mmreason.data.step import Drop, StepContext
from mmreason.data.tokens import prompt_tokens, sequence_tokens, text_counter
from mmreason.errors import UserError
from mmreason.leaks.media import Compared, RowSet, compare_media
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.records.io import read_samples, write_samples
from mmreason.run.files import replacing, write_json
from mmreason.run.folder import RunFolder
from mmreason.run.progress import progress

SETS = ("sft", "sft_unverified", "rl", "rl_other")


def _compare_media(
    domain: Domain, data_dir: Path | None, train: Sequence[Sample], evaluation: Sequence[Sample]
) -> Compared | None:
    """Which pictures and clips of real sets are the same; drawn ones of the embedded default look alike on purpose."""
    if data_dir is None or not any(sample.media for sample in train):
        return None
    root = data_root(domain, data_dir)
    return compare_media([RowSet("train", list(train), root), RowSet("eval", list(evaluation), root)])


def main(
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    *,
    data_dir: Path | None = None,
    eval_samples: Sequence[Sample] = (),
) -> dict[str, Any]:
    """Build everything into `folder.data`; returns what report.json holds. Finished data sets are reused."""
    context = StepContext(recipe, domain, data_dir, folder.data)
    names = recipe.data.embedded if data_dir is None else recipe.data.pipelines
    datasets = [load_dataset(name, domain) for name in names]
    check_use(domain, [dataset.source for dataset in datasets])

    built: list[Built] = []
    with progress("read and filter", total=len(datasets)) as tick:
        for dataset in datasets:
            built.append(build_dataset(dataset, context))
            tick(note=f"{dataset.name}: {built[-1].facts['kept']} kept" + (" (reused)" if built[-1].reused else ""))

    bare = _gather(built)
    compared = _compare_media(domain, data_dir, bare, eval_samples)
    clean, pairs = decontaminate(bare, eval_samples, compared)
    drops = _leak_drops(bare, pairs)

    protocol = Protocol.of(domain)
    teacher = make_teacher(recipe, domain, folder.data / "cache", embedded=data_dir is None)
    answers_suffice = recipe.sft is not None and recipe.sft.target == "answer"
    asked = [protocol.apply(sample) for sample in clean]
    made = distil(asked, teacher, answers_suffice=answers_suffice)

    every = [sample.without_response().with_meta(source="all") for sample in asked]
    rl = every if recipe.data.rl_source == "all" else made.rl
    sets, long = _within_limits(recipe, context, made.sft, made.unverified, rl)
    drops += long
    for name in SETS:
        write_samples(folder.data / f"{name}.parquet", sets[name])
    _write_drops(folder.data / "dropped.jsonl", built, drops)
    write_json(folder.data / "decontamination.json", contamination_report(bare, eval_samples, clean, pairs, compared))
    write_json(folder.data / "train_documents.json", train_documents([*sets["sft"], *sets["rl"]]))
    report = _report(domain, built, sets, drops, {sample.id: sample for sample in bare})
    report |= {
        "teacher": teacher.name,
        "endpoint_calls": {chat.role: chat.calls for chat in teacher.chats},
        "endpoint_faults": {chat.role: dict(chat.faults) for chat in teacher.chats},
        "protocol": protocol.hash,
        "files": hashes(folder.data, [f"{name}.parquet" for name in SETS]),
    }
    write_json(folder.data / "report.json", report)
    return report


def _gather(built: Sequence[Built]) -> list[Sample]:
    """All kept samples with their pipeline's name; an id may occur once."""
    samples: dict[str, Sample] = {}
    for one in built:
        for sample in read_samples(one.kept):
            if sample.id in samples:
                other = samples[sample.id].metadata["pipeline"]
                raise UserError(f"sample id {sample.id} is in the data sets {other} and {one.name}; rename one source")
            samples[sample.id] = sample.with_meta(pipeline=one.name)
    if not samples:
        raise UserError(f"no sample is left after the filters of {', '.join(b.name for b in built)}; see dropped.jsonl")
    return list(samples.values())


def _leak_drops(samples: Sequence[Sample], pairs: Sequence[Pair]) -> list[Drop]:
    by_id = {sample.id: sample for sample in samples}
    return [
        Drop(pair.train, "decontaminate", pair.kind.value, f"evaluation row {pair.eval}", by_id[pair.train].to_dict())
        for pair in pairs
    ]


def _within_limits(
    recipe: Recipe,
    context: StepContext,
    sft: Sequence[Sample],
    unverified: Sequence[Sample],
    rl: Sequence[Sample],
) -> tuple[dict[str, Sequence[Sample]], list[Drop]]:
    """The four sets without what is longer than the recipe allows, and the drops of SFT and RL."""
    taught = sft or rl  # what a tiny model's vocabulary is learnt from, here as in training
    texts = (t for s in taught for t in (*(m.text for m in s.messages), *s.answer.options.values()))
    count = text_counter(recipe, texts, context.work_dir / "tokenizer")
    long_prompt = partial(
        too_long, context=context, limit=recipe.data.max_prompt_tokens, count=lambda s: int(s.metadata["prompt_tokens"])
    )
    sft_limit = recipe.sft.max_tokens if recipe.sft is not None else recipe.data.max_prompt_tokens
    long_row = partial(too_long, context=context, limit=sft_limit, count=partial(sequence_tokens, count=count))
    lengths = {sample.id: prompt_tokens(sample, count) for sample in (*sft, *rl)}
    kept_sft, dropped_sft = _split(long_row(_measured(sft, lengths)))
    kept_unverified, _ = _split(long_row(_measured(unverified, lengths)))  # drops are counted in sft and rl
    kept_rl, dropped_rl = _split(long_prompt(_measured(rl, lengths)))
    allowed = set(recipe.data.rl_kinds)
    sets: dict[str, Sequence[Sample]] = {
        "sft": kept_sft,
        "sft_unverified": kept_unverified,
        "rl": [sample for sample in kept_rl if sample.answer.kind.value in allowed],
        "rl_other": [sample for sample in kept_rl if sample.answer.kind.value not in allowed],
    }
    named = (("too_long_sft", dropped_sft), ("too_long_rl", dropped_rl))
    return sets, [replace(drop, step=step) for step, drops in named for drop in drops]


def _measured(samples: Iterable[Sample], lengths: dict[str, int]) -> Iterator[Sample]:
    return (sample.with_meta(prompt_tokens=lengths[sample.id]) for sample in samples)


def _split(stream: Iterable[Sample | Drop]) -> tuple[list[Sample], list[Drop]]:
    kept: list[Sample] = []
    dropped: list[Drop] = []
    for item in stream:
        (dropped if isinstance(item, Drop) else kept).append(item)  # type: ignore[arg-type]
    return kept, dropped


def _write_drops(path: Path, built: Sequence[Built], drops: Sequence[Drop]) -> None:
    """One file of everything that left, set by set, then what left afterwards."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8") as handle:
        for one in built:
            handle.write(one.dropped.read_text(encoding="utf-8"))
        for drop in drops:
            handle.write(drop_line(drop) + "\n")


def _report(
    domain: Domain,
    built: Sequence[Built],
    sets: dict[str, Sequence[Sample]],
    drops: Sequence[Drop],
    origin: dict[str, Sample],
) -> dict[str, Any]:
    of_set: dict[str, list[Drop]] = {one.name: [] for one in built}
    for drop in drops:
        of_set[origin[drop.id].metadata["pipeline"]].append(drop)
    entries = [dataset_entry(one, domain, sets, of_set[one.name]) for one in built]
    dropped: dict[str, dict[str, int]] = {}
    for one in built:
        for step, reasons in one.facts["dropped"].items():
            for reason, count in reasons.items():
                dropped.setdefault(step, {})[reason] = dropped.get(step, {}).get(reason, 0) + count
    totals = {name: len(samples) for name, samples in sets.items()}
    totals |= {key: sum(entry[key] for entry in entries) for key in ("read", "kept")}
    return {"datasets": entries, "totals": {**totals, "dropped": add_drops(dropped, drops)}}
