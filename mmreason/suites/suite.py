"""A suite is one YAML under eval/suites (or <domain>/suites): which rows, which rules, which version."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmreason.config import Domain, load_domain, read_yaml
from mmreason.config.recipe import DataSettings
from mmreason.config.strict import Strict, validate
from mmreason.data.holdout import held_out
from mmreason.data.sources import read_source
from mmreason.data.step import Drop
from mmreason.errors import UserError, nearest
from mmreason.project import project_dir
from mmreason.protocol import Protocol
from mmreason.records import Sample

EVAL_FRACTION: float = DataSettings.model_fields["eval_fraction"].default


class Suite(Strict):
    """One benchmark. Raise `version` whenever its scores could move."""

    name: str
    version: int
    title: str
    domain: str | None = None
    """Folder under domains/ that declares the source; None: the domain of the run."""
    source: str | None = None
    """Key in sources.yaml; None: the domain's only source."""
    split: str
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the reader."""
    seed: int = 0
    """Seed of a generated set: part of the suite, never of the run, so that runs share their questions."""
    held_out: bool = False
    """Ask only the documents that `data.eval_fraction` sets apart from a split that also feeds training."""
    released_count: int | None = None
    """Questions in the released split; fewer are called a subset and carry no official label."""
    metrics: list[str] = Field(default_factory=lambda: ["strict"])
    """`strict` (our graders), then names of reference rules, see `mmreason.suites.rules`."""
    group_by: list[str] = Field(default_factory=list)
    """Metadata keys to break the score down by."""
    interval_by: Literal["question", "document"] = "question"
    """What intervals resample; `document` where several questions are forms of one (permuted options)."""
    keep_questions: bool = True
    """False where the authors ask that questions are not republished: sample files then hold ids and hashes."""
    licence: str = ""
    """Licence note printed beside the score."""


@dataclass(frozen=True, slots=True)
class SuiteData:
    """The questions of a suite with the protocol applied, and what the reader refused."""

    samples: list[Sample]
    available: int
    """Questions that could be read, before `held_out` and `limit`."""
    dropped: dict[str, int]
    """Reason -> rows that the reader refused."""


def _files(domain: Domain | None) -> dict[str, Path]:
    folders = [project_dir() / "eval" / "suites"]
    if domain is not None:
        folders.append(domain.folder / "suites")  # a domain's own suites win over ours of the same name
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def list_suites(domain: Domain | None = None) -> list[str]:
    """Names of all suites, those of `domain`'s own folder included."""
    return sorted(_files(domain))


def load_suite(name: str, domain: Domain | None = None) -> Suite:
    """Read one suite. Raises UserError with the nearest name, or for a file whose name is not its suite's."""
    files = _files(domain)
    if name not in files:
        raise UserError(f"no suite {name!r}{nearest(name, files)}")
    suite = validate(Suite, read_yaml(files[name]), str(files[name]))
    if suite.name != name:
        raise UserError(f"{files[name]}: name is {suite.name!r}, expected {name!r} as the file is called")
    return suite


def suite_domain(suite: Suite, domain: Domain) -> Domain:
    """The domain that declares the suite's source: the run's own, or the one that the suite names."""
    if suite.domain is None or suite.domain == domain.folder.name:
        return domain
    return load_domain(project_dir() / "domains" / suite.domain)


def source_name(suite: Suite, domain: Domain) -> str:
    """The source that the suite reads. Raises UserError when the suite leaves it open and the domain has several."""
    if suite.source is not None:
        return suite.source
    if len(domain.sources) != 1:
        raise UserError(
            f"suite {suite.name!r} names no source and {domain.folder / 'sources.yaml'} declares "
            f"{len(domain.sources)}: copy the suite to {domain.folder / 'suites'} and set 'source'"
        )
    return next(iter(domain.sources))


def _rank(suite: Suite, key: str) -> str:
    return hashlib.sha256(f"{suite.name}\0{key}".encode()).hexdigest()


def _limit(suite: Suite, samples: list[Sample], limit: int | None) -> list[Sample]:
    """The `limit` samples lowest by hash, in file order: a larger limit contains a smaller one."""
    if limit is None or limit >= len(samples):
        return samples
    kept = {s.id for s in sorted(samples, key=lambda s: _rank(suite, s.id))[:limit]}
    return [s for s in samples if s.id in kept]


def read_suite(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
    prompted: bool = True,
    made: Path | None = None,
) -> SuiteData:
    """Read, hold out, limit and prompt the questions of a suite; `prompted=False` leaves them bare.

    `made`: where a generated set puts its pictures.

    `eval_fraction` must be the recipe's, so that training and evaluation take two sides of one cut.
    Raises UserError when no question is left.
    """
    domain = suite_domain(suite, domain)
    source = source_name(suite, domain)
    rows = list(read_source(domain, source, suite.split, data_dir, suite.options, suite.seed, made))
    samples = [row for row in rows if isinstance(row, Sample)]
    dropped = Counter(row.reason for row in rows if isinstance(row, Drop))
    if not samples:
        raise UserError(f"suite {suite.name!r}: no question can be read from {source} {suite.split} ({dict(dropped)})")
    available = len(samples)
    if suite.held_out:
        samples = [sample for sample in samples if held_out(sample, eval_fraction)]
    if not samples:
        raise UserError(
            f"suite {suite.name!r}: none of {available} rows of {source} is held out at data.eval_fraction "
            f"{eval_fraction}; raise it, or declare a test split"
        )
    chosen = _limit(suite, samples, limit)
    if prompted:
        protocol = Protocol.of(domain)
        chosen = [protocol.apply(sample) for sample in chosen]
    return SuiteData(chosen, available, dict(sorted(dropped.items())))


def suite_samples(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
) -> list[Sample]:
    """The questions of a suite, protocol applied, without a response."""
    return read_suite(suite, domain, data_dir, limit, eval_fraction).samples


def suite_questions(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
    made: Path | None = None,
) -> list[Sample]:
    """The same questions bare, as readers give them: what training rows are decontaminated against."""
    return read_suite(suite, domain, data_dir, limit, eval_fraction, prompted=False, made=made).samples


def coverage(suite: Suite, count: int) -> str:
    """'all N of <split>', 'subset n of N of <split>', or 'n questions' where no released number is known."""
    if suite.released_count is None:
        return f"{count} questions of {suite.split}"
    if count == suite.released_count and not suite.held_out:
        return f"all {count} of {suite.split}"
    return f"subset {count} of {suite.released_count} of {suite.split}"


def is_official(suite: Suite, count: int) -> bool:
    """Whether a reference rule's score may be called official: the whole released split was answered."""
    return not suite.held_out and count == suite.released_count
