"""A suite is one YAML under eval/suites (or <domain>/suites): which rows, which rules, which version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmreason.config import Domain, MediaRule, load_domain, read_yaml
from mmreason.config.recipe import Baseline
from mmreason.config.strict import Strict, validate
from mmreason.errors import UserError, nearest
from mmreason.project import project_dir


class AskedAs(Strict):
    """How the authors of a set put its questions."""

    template: str
    """With {question} and {options}."""
    templates: dict[str, str] = Field(default_factory=dict)
    """Answer kind (or kind.language) -> template where the authors ask these in another way."""
    system: str | None = None
    options: str = "{letter}. {text}"
    """One option; one a line."""
    prefill: str = ""
    """Beginning of the assistant's turn."""
    put_back: str = ""
    """What of the prefill their scorer sees before the output."""
    stop: list[str] = Field(default_factory=list)
    """The output is cut before the first of these."""
    max_new_tokens: int | None = None


def _constants() -> list[Baseline]:
    return ["constants"]


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
    also: list[str] = Field(default_factory=list)
    """Other declared splits that hold the same questions in another form or a part of them, tried in order where the
    files of `split` are absent."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the reader."""
    seed: int = 0
    """Seed of a generated set: part of the suite, never of the run, so that runs share their questions."""
    held_out: bool = False
    """Ask only the documents that `data.eval_fraction` sets apart from a split that also feeds training."""
    released_count: int | None = None
    """Questions in the released split; fewer are read only on request (--subset) and carry no official label."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Templates in place of the domain's, by the same keys."""
    media: MediaRule | None = None
    """Frame rule and pixel bounds in place of the domain's."""
    asked_as: AskedAs | None = None
    """The authors' own way to ask, used with eval.prompt=official."""
    metrics: list[str] = Field(default_factory=lambda: ["strict"])
    """`strict` (our graders), then published scorers as '<module>.<name>', see `mmreason.suites.references`."""
    totals: list[str] = Field(default_factory=list)
    """Numbers over the strict verdicts that a mean does not give (worst case over variants, ...), named likewise."""
    main: str = "micro"
    """The headline of the strict mode: 'micro', 'macro:<key of group_by>', or '<total>:<number>'."""
    formats: list[str] = Field(default_factory=list)
    """Readers of predictions files in the form of a published scorer, '<module>.<name>'."""
    group_by: list[str] = Field(default_factory=list)
    """Metadata keys to break the score down by."""
    baselines: list[Baseline] = Field(default_factory=_constants)
    """What stands beside the score, see `Baseline`; `eval.baselines` of a recipe wins."""
    interval_by: Literal["question", "document"] = "question"
    """What intervals resample; `document` where questions share a clip, an image or a report."""
    known_bad: dict[str, str] = Field(default_factory=dict)
    """Sample id -> what is wrong with its gold. Such questions stay in; the score without them stands beside."""
    reader_only: bool = False
    """No outside check of the score exists: it is ours alone, and listed so."""
    keep_questions: bool = True
    """False where the authors ask that questions are not republished: sample files then hold ids and hashes."""
    licence: str = ""
    """Licence note printed beside the score."""


def _files(domain: Domain | None) -> dict[str, Path]:
    folders = [project_dir() / "eval" / "suites"]
    if domain is not None:
        folders.append(domain.folder / "suites")  # a domain's own suites win over ours of the same name
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def list_suites(domain: Domain | None = None) -> list[str]:
    """Names of all suites, those of `domain`'s own folder included."""
    return sorted(_files(domain))


def load_suite(name: str, domain: Domain | None = None) -> Suite:
    """Read one suite; 'name@split' asks another declared split of its source, which has no official score.

    Raises UserError with the nearest name, or for a file whose name is not its suite's.
    """
    stem, _, split = name.partition("@")
    files = _files(domain)
    if stem not in files:
        raise UserError(f"no suite {stem!r}{nearest(stem, files)}")
    suite = validate(Suite, read_yaml(files[stem]), str(files[stem]))
    if suite.name != stem:
        raise UserError(f"{files[stem]}: name is {suite.name!r}, expected {stem!r} as the file is called")
    if not split or split == suite.split:
        return suite
    other: dict[str, Any] = {"name": name, "split": split, "also": [], "released_count": None, "held_out": False}
    return suite.model_copy(update=other)


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
