"""What the data stage writes for the report: rows by fate, licences, hashes, documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmreason.config import Domain
from mmreason.data.pipeline import Built
from mmreason.data.step import Drop
from mmreason.records import Sample
from mmreason.run.files import file_sha256


def by_dataset(samples: Iterable[Sample]) -> Counter[str]:
    """Rows per data-set YAML, as noted in `metadata.pipeline`."""
    return Counter(sample.metadata["pipeline"] for sample in samples)


def add_drops(dropped: dict[str, dict[str, int]], drops: Iterable[Drop]) -> dict[str, dict[str, int]]:
    """{step: {reason: n}} with more drops counted in."""
    table = {step: dict(reasons) for step, reasons in dropped.items()}
    for drop in drops:
        reasons = table.setdefault(drop.step, {})
        reasons[drop.reason] = reasons.get(drop.reason, 0) + 1
    return table


def dataset_entry(
    built: Built, domain: Domain, sets: dict[str, Sequence[Sample]], drops: Sequence[Drop]
) -> dict[str, Any]:
    """One data set: provenance, and where each of its rows went. `drops` are those after its own steps."""
    entry = domain.source(built.facts["source"])
    counts = {name: by_dataset(samples)[built.name] for name, samples in sets.items()}
    about = {key: getattr(entry, key) for key in ("title", "url", "licence", "commercial", "use")}
    facts = {key: value for key, value in built.facts.items() if key not in ("fingerprint", "dropped")}
    return {**facts, **about, "dropped": add_drops(built.facts["dropped"], drops), **counts, "reused": built.reused}


def train_documents(samples: Iterable[Sample]) -> dict[str, int]:
    """Document -> training rows cut from it, so that evaluation can be split by 'document seen in training'."""
    return dict(sorted(Counter(s.source.document for s in samples if s.source.document).items()))


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """File name -> sha256."""
    return {name: file_sha256(folder / name) for name in names}
