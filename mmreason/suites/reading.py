"""The questions of a suite: found, counted, held out, limited, and put as the protocol says."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmreason.config import Domain
from mmreason.config.recipe import DataSettings
from mmreason.data.holdout import held_out
from mmreason.data.sources import has_files, read_source, source_files
from mmreason.data.step import Drop
from mmreason.errors import UserError
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.suites.suite import Suite, source_name, suite_domain

EVAL_FRACTION: float = DataSettings.model_fields["eval_fraction"].default
SHOWN = 8
"""Missing files named in a message; all stand in the list that goes with it."""

Style = Literal["own", "official"]


@dataclass(frozen=True, slots=True)
class SuiteData:
    """The questions of a suite with the protocol applied, and what the reader refused."""

    samples: list[Sample]
    available: int
    """Questions that could be read, before `held_out` and `limit`."""
    dropped: dict[str, int]
    """Reason -> rows that the reader refused."""
    split: str = ""
    """The declared split that was read."""


def suite_protocol(suite: Suite, domain: Domain, style: Style = "own") -> Protocol:
    """How the suite's questions are put: the domain's protocol, with what the suite sets in its place.

    Raises UserError for `official` where the suite does not say how its authors ask.
    """
    protocol = Protocol.of(suite_domain(suite, domain)).having(suite.prompts, suite.media)
    if style == "own":
        return protocol
    if suite.asked_as is None:
        raise UserError(f"suite {suite.name!r} states no prompt of its authors: evaluate it with eval.prompt=own")
    return protocol.as_asked(suite.asked_as)


def _rank(suite: Suite, key: str) -> str:
    return hashlib.sha256(f"{suite.name}\0{key}".encode()).hexdigest()


def _limit(suite: Suite, samples: list[Sample], limit: int | None) -> list[Sample]:
    """The `limit` samples lowest by hash, in file order: a larger limit contains a smaller one."""
    if limit is None or limit >= len(samples):
        return samples
    kept = {s.id for s in sorted(samples, key=lambda s: _rank(suite, s.id))[:limit]}
    return [s for s in samples if s.id in kept]


def _split(suite: Suite, domain: Domain, source: str, data_dir: Path | None) -> str:
    """The suite's split, or the first of `also` whose files are there; the suite's own where none is."""
    there = (split for split in (suite.split, *suite.also) if has_files(domain, source, split, data_dir))
    return next(there, suite.split)


def check_files(suite: Suite, domain: Domain, data_dir: Path | None) -> None:
    """Raise UserError where the suite's files are not there, so that it is said before anything is computed."""
    domain = suite_domain(suite, domain)
    source = source_name(suite, domain)
    source_files(domain, source, _split(suite, domain, source, data_dir), data_dir)


def _refuse_part(suite: Suite, source: str, found: int, dropped: Mapping[str, int]) -> None:
    if suite.released_count is not None and found < suite.released_count and not suite.held_out:
        raise UserError(
            f"suite {suite.name!r}: {found} of the {suite.released_count} released questions of {suite.split} are in "
            f"{source}{_told(dropped)}; fetch the whole split, or give --subset to score this part without an official "
            "label"
        )


def _told(dropped: Mapping[str, int]) -> str:
    """Rows that the reader refused, in words; nothing where there are none."""
    return f" ({', '.join(f'{count} dropped: {why}' for why, count in sorted(dropped.items()))})" if dropped else ""


def _without_media(suite: Suite, samples: list[Sample], missing: list[str], subset: bool, root: Path) -> list[Sample]:
    """The samples whose media are there. Raises UserError unless a subset was asked for."""
    if not missing:
        return samples
    if not subset:
        names = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
        raise UserError(
            f"suite {suite.name!r}: {len(missing)} media files are missing under {root}: {names}; "
            "fetch them, or give --subset to ask only the questions whose media are there"
        )
    gone = set(missing)
    return [sample for sample in samples if not any(ref.path in gone for ref in sample.media)]


def read_suite(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
    prompted: bool = True,
    made: Path | None = None,
    style: Style = "own",
    subset: bool = False,
    need_media: bool = True,
    missing: list[str] | None = None,
) -> SuiteData:
    """Read, hold out, limit and prompt the questions of a suite; `prompted=False` leaves them bare.

    `made`: where a generated set puts its pictures. `subset`: take a part of the released split where no more is
    there, and leave out questions whose media are absent. `need_media=False` reads annotations alone, to score answers.
    `missing` takes the names of absent media files. `eval_fraction` must be the recipe's, so that training and
    evaluation take two sides of one cut. Raises UserError when no question is left.
    """
    domain = suite_domain(suite, domain)
    source = source_name(suite, domain)
    split = _split(suite, domain, source, data_dir)
    absent: list[str] = [] if missing is None else missing
    options = {**suite.options, "subset": True}  # counted below, against the suite's own number
    rows = list(read_source(domain, source, split, data_dir, options, suite.seed, made, need_media, absent))
    samples = [row for row in rows if isinstance(row, Sample)]
    dropped = Counter(row.reason for row in rows if isinstance(row, Drop))
    if not samples:
        raise UserError(f"suite {suite.name!r}: no question can be read from {source} {split} ({dict(dropped)})")
    available = len(samples)
    if not subset:
        _refuse_part(suite, source, available, dropped)
    samples = _without_media(suite, samples, list(dict.fromkeys(absent)), subset, data_dir or domain.folder)
    if not samples:
        raise UserError(f"suite {suite.name!r}: none of {available} questions has its media under {data_dir}")
    if suite.held_out:
        samples = [sample for sample in samples if held_out(sample, eval_fraction)]
    if not samples:
        raise UserError(
            f"suite {suite.name!r}: none of {available} rows of {source} is held out at data.eval_fraction "
            f"{eval_fraction}; raise it, or declare a test split"
        )
    chosen = _limit(suite, samples, limit)
    if prompted:
        protocol = suite_protocol(suite, domain, style)
        chosen = [protocol.apply(sample) for sample in chosen]
    return SuiteData(chosen, available, dict(sorted(dropped.items())), split)


def suite_samples(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
    subset: bool = False,
) -> list[Sample]:
    """The questions of a suite, protocol applied, without a response."""
    return read_suite(suite, domain, data_dir, limit, eval_fraction, subset=subset).samples


def suite_questions(
    suite: Suite,
    domain: Domain,
    data_dir: Path | None,
    limit: int | None = None,
    eval_fraction: float = EVAL_FRACTION,
    made: Path | None = None,
    subset: bool = False,
) -> list[Sample]:
    """The same questions bare, as readers give them: what training rows are decontaminated against."""
    return read_suite(suite, domain, data_dir, limit, eval_fraction, prompted=False, made=made, subset=subset).samples


def coverage(suite: Suite, count: int, available: int | None = None) -> str:
    """'all N of <split>', 'subset n of N of <split>', or 'n questions' where no released number is known.

    `available`: questions that could be read, for splits without a released number.
    """
    if suite.released_count is None and available is not None and count < available:
        return f"subset {count} of {available} of {suite.split}"
    if suite.released_count is None:
        return f"{count} questions of {suite.split}"
    if count == suite.released_count and not suite.held_out:
        return f"all {count} of {suite.split}"
    return f"subset {count} of {suite.released_count} of {suite.split}"


def is_official(suite: Suite, count: int) -> bool:
    """Whether a published scorer's mean may be called official: it is the set's own, on the whole released split."""
    return not suite.held_out and not suite.reader_only and count == suite.released_count
