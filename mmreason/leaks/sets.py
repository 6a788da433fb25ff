"""From what was typed to rows: a suite, a declared source:split, a Parquet file of samples, or a file of own rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from mmreason.config import Domain, SourceEntry, load_domain
from mmreason.data import own
from mmreason.data.sources import data_root, read_source
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.leaks.media import RowSet
from mmreason.project import project_dir
from mmreason.protocol import Protocol
from mmreason.records import Message, Role, Sample
from mmreason.records.io import read_samples
from mmreason.suites.reading import read_suite
from mmreason.suites.suite import list_suites, load_suite, suite_domain

ROWS_FILES = (".jsonl", ".json", ".csv", ".jsonl.gz", ".json.gz", ".csv.gz")


@dataclass(frozen=True, slots=True)
class Place:
    """Where sets are looked for."""

    data_dir: Path | None
    domain: Domain | None
    """A domain of the user's own; its sources and suites come first."""
    made: Path
    """Where generated sets put their pictures."""


def read_set(spec: str, place: Place) -> RowSet:
    """The bare rows of one set; its media are named but not looked for yet.

    Raises UserError for an unknown suite, source or split, a missing or foreign file, and a set without rows.
    """
    if spec.endswith(".parquet"):
        found = _parquet(Path(spec), place)
    elif spec.endswith(ROWS_FILES):
        found = _own_rows(Path(spec))
    elif ":" in spec:
        found = _declared(spec, place)
    else:
        found = _suite(spec, place)
    if not found.samples:
        raise UserError(f"{spec}: no row can be read, there is nothing to compare")
    return found


def _parquet(path: Path, place: Place) -> RowSet:
    """Media lie under the data folder, else where the run that wrote the file notes, else beside the file."""
    noted = path.parent / "media_root.json"
    if place.data_dir is not None:
        root = place.data_dir
    elif noted.is_file():
        root = Path(json.loads(noted.read_text(encoding="utf-8"))["path"])
    else:
        root = path.parent
    protocols = {protocol.hash: protocol for protocol in map(Protocol.of, _domains(place))}
    return RowSet(str(path), [_bare(sample, protocols) for sample in read_samples(path)], root.resolve())


def _bare(sample: Sample, protocols: dict[str, Protocol]) -> Sample:
    """The sample as its reader gave it: without its answer and the prompt around it."""
    name = sample.metadata.get("prompted")
    if name is None:
        return sample.without_response()
    if name not in protocols:
        raise UserError(
            f"sample {sample.id} carries the prompt of protocol {name}, which no known domain has: "
            "name its domain with --domain, or give the set as it was before prompts (data/sets/NAME/kept.parquet)"
        )
    protocol, options = protocols[name], sample.answer.options
    shown = "\n".join(protocol.option.format(letter=key, text=text) for key, text in options.items())
    template = protocol.template(sample)
    if shown and "{options}" not in template:
        template += "\n{options}"
    before, _, after = template.replace("{options}", shown).partition("{question}")
    turns = [message.text for message in sample.prompt if message.role is Role.USER]
    turns[-1] = turns[-1].removeprefix(before).removesuffix(after)
    metadata = {key: value for key, value in sample.metadata.items() if key != "prompted"}
    return replace(sample, messages=tuple(Message.of(Role.USER, text) for text in turns), metadata=metadata)


def _own_rows(path: Path) -> RowSet:
    entry = SourceEntry(title=path.name, licence="", commercial=False, use="eval", reader="mmreason.data.own:read")
    root = path.parent.resolve()
    request = ReadRequest(path.name.partition(".")[0], "all", [path.resolve()], entry, {}, root=root, need_media=False)
    return RowSet(str(path), list(own.read(request)), root)


def _domains(place: Place) -> list[Domain]:
    folders = sorted(path.parent for path in (project_dir() / "domains").glob("*/sources.yaml"))
    return [*([place.domain] if place.domain else []), *map(load_domain, folders)]


def _declared(spec: str, place: Place) -> RowSet:
    """SOURCE:SPLIT of the first domain that declares the source."""
    name, _, split = spec.partition(":")
    domains = _domains(place)
    domain = next((domain for domain in domains if name in domain.sources), None)
    if domain is None:
        known = [source for one in domains for source in one.sources]
        raise UserError(f"{spec}: no domain declares a source {name!r}{nearest(name, known)}")
    made = None if domain.source(name).files else place.made
    options = {"subset": True}  # a part of a released split is compared as far as it goes
    rows = read_source(domain, name, split, place.data_dir, options, 0, made, need_media=False)
    return RowSet(spec, [row for row in rows if isinstance(row, Sample)], data_root(domain, place.data_dir, made))


def _suite(name: str, place: Place) -> RowSet:
    if name not in list_suites(place.domain):
        hint = nearest(name, list_suites(place.domain))
        raise UserError(f"{name!r} is no suite{hint}, and no SOURCE:SPLIT, .parquet or .jsonl file")
    suite = load_suite(name, place.domain)
    if suite.domain is None and place.domain is None:
        raise UserError(f"suite {name!r} belongs to no domain: name the folder that declares its source with --domain")
    domain = place.domain or load_domain(project_dir() / "domains" / str(suite.domain))
    domain = suite_domain(suite, domain)
    found = read_suite(
        suite, domain, place.data_dir, prompted=False, made=place.made, subset=True, need_media=False
    ).samples
    generated = suite.source is not None and not domain.source(suite.source).files
    return RowSet(name, found, data_root(domain, place.data_dir, place.made if generated else None))
