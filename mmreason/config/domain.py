"""domain.yaml and sources.yaml: what a domain folder declares."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from mmreason.config.load import read_yaml
from mmreason.config.strict import Strict, validate
from mmreason.config.task import MediaRule, RewardEntry, Task
from mmreason.errors import UserError, nearest


class SourceEntry(Strict):
    """One data set: where it comes from, what may be done with it, how it is read."""

    title: str
    url: str = ""
    licence: str
    commercial: bool
    """The licence allows commercial use; nothing trained on a set without it is ever committed here."""
    use: Literal["train", "eval"]
    """Training on an `eval` set is refused."""
    reader: str
    """'file.py:function'; the function takes (files, entry_name, entry) and yields Samples or Drops."""
    files: dict[str, list[str]] = Field(default_factory=dict)
    """Split -> file names relative to the data folder; empty for a generated set."""
    count: dict[str, int] = Field(default_factory=dict)
    """Split -> released number of rows, where known."""


class DomainFile(Strict):
    """domain.yaml."""

    name: str
    title: str = ""
    intended_use: str = ""
    """Limits printed on the card and in the report."""
    prompts: dict[str, str]
    """'<kind>.<lang>', '<lang>' or 'default' -> template file; {question} and {options} are filled."""
    system_prompt: str | None = None
    media: MediaRule = MediaRule()
    rewards: list[RewardEntry] = Field(default_factory=list)
    """Empty: accuracy and format as the recipe's grpo.reward says."""
    environment: str | None = None
    """'file.py:name' of what answers the model between its turns (rollout/turns.py); None: one turn."""
    max_turns: int = Field(default=4, gt=0)
    """Turns of the model where there is an environment."""
    measures: str | None = None
    """'file.py:function' of further tables for the report: (evaluation records) -> list of tables."""


class Domain(Strict):
    """A domain folder, read."""

    folder: Path
    file: DomainFile
    sources: dict[str, SourceEntry]

    def source(self, name: str) -> SourceEntry:
        """The declared source, or a UserError with the nearest name."""
        if name not in self.sources:
            raise UserError(f"{self.folder / 'sources.yaml'} declares no source {name!r}{nearest(name, self.sources)}")
        return self.sources[name]


def with_task(domain: Domain, task: Task | None) -> Domain:
    """The domain with what a system of it declares in its place."""
    if task is None:
        return domain
    return domain.model_copy(update={"file": domain.file.model_copy(update=task.declared())})


class _SourcesFile(Strict):
    sources: dict[str, SourceEntry]


def load_domain(folder: Path) -> Domain:
    """Read and validate a domain folder."""
    folder = folder.resolve()
    for name in ("domain.yaml", "sources.yaml"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not a domain folder: it has no {name}")
    file = validate(DomainFile, read_yaml(folder / "domain.yaml"), str(folder / "domain.yaml"))
    sources = validate(
        _SourcesFile, {"sources": read_yaml(folder / "sources.yaml")}, str(folder / "sources.yaml")
    ).sources
    for key, template in file.prompts.items():
        if not (folder / template).is_file():
            raise UserError(f"{folder / 'domain.yaml'}: prompt {key!r} names {template!r}, which does not exist")
    return Domain(folder=folder, file=file, sources=sources)
