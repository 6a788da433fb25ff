"""What answers a plan, as text: the knowledge bases, what is shown of them, and which turn comes next.

The environment puts it between a model's turns; teachers play against the same desk, so that their trajectories read as
the model's own will. Turns by order: plan, answer, plan, ..., final; a question's state is what was noted of its turns.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.project import load_module
from mmreason.records import Sample
from mmreason.retrieval.passages import Passage
from mmreason.retrieval.patience import NO_ANSWER, Patience
from mmreason.retrieval.tags import harmless

_HERE = Path(__file__).parent
bases = load_module(_HERE / "bases.py")
forms = load_module(_HERE / "forms.py")
settings = load_module(_HERE / "settings.py")
Step = settings.Step

Found = list[Passage] | str
"""What is shown of a base, or the line that says why nothing is."""
TAGS = ("think", "sub-question", "ret", "answer")
MOST_DOWN = 3
"""Turns in a row in which a base's service may be down."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the desk says to a turn."""

    text: str
    note: dict[str, Any]
    """JSON-ready: `kind` of the turn, `next` kind (empty at the end); of a plan `query`, `base` (empty: none asked),
    `fault`, `passages` (ids shown), `down` (its service did not answer)."""


class Desk:
    """Answers turns of any number of questions."""

    def __init__(self, own: Any, opened: Mapping[str, Any], seed: int = 0) -> None:
        self.settings = own
        self.bases = opened
        self.seed = seed
        self._patience = Patience(MOST_DOWN)

    def answer_all(self, asked: Sequence[tuple[Sample, str, Sequence[Mapping[str, Any]]]]) -> list[Told]:
        """To (sample, the turn's text, notes of the turns before) each. A base is searched once, with all queries."""
        kinds = [next_kind(notes) for _, _, notes in asked]
        plans = {
            place: forms.read_plan(text, self.settings.names)
            for place, (_, text, _) in enumerate(asked)
            if kinds[place] == Step.PLAN
        }
        named = {place: self._base(plan, asked[place][0], asked[place][2]) for place, plan in plans.items()}
        found = self._search(
            {place: (base, plans[place].query, asked[place][0]) for place, base in named.items() if base}
        )
        out = []
        for place, (sample, _, notes) in enumerate(asked):
            if kinds[place] == Step.PLAN:
                out.append(self._planned(sample, plans[place], named[place], found.get(place, []), notes))
            else:
                out.append(self._answered(sample, kinds[place], notes))
        return out

    def passages_text(self, base: str, found: Found, query: str) -> str:
        """What is shown behind a plan. Passages hold no tag of a turn."""
        tag = self.settings.bases[base].tag
        texts = [found] if isinstance(found, str) else [self._cut(passage) for passage in found]
        listed = "\n".join(f"{tag}-{number}: {text}" for number, text in enumerate(texts or [self.settings.empty]))
        return str(self.settings.ask.format(legend=self.legend, passages=listed, query=query))

    def _cut(self, passage: Passage) -> str:
        """Its title and first words on one line, without any tag of a turn."""
        return str(harmless(" ".join(passage.contents.split()[: self.settings.passage_words]), TAGS))

    @property
    def legend(self) -> str:
        """What the tags of all bases mean."""
        each = [self.settings.legend.format(tag=base.tag, base=name) for name, base in self.settings.bases.items()]
        return ", ".join(text for text in each if text)

    def _planned(self, sample: Sample, plan: Any, base: str, found: Found, notes: Sequence[Mapping[str, Any]]) -> Told:
        note = {"kind": Step.PLAN.value, "query": plan.query, "base": "", "fault": plan.unusable, "passages": []}
        if plan.unusable:
            failed = 1 + sum(bool(one.get("fault")) for one in notes)
            again = failed % self.settings.tries != 0
            return self._next(sample, note, Step.PLAN if again else Step.FINAL, self.settings.correct)
        if plan.done:
            return self._next(sample, note, Step.FINAL)
        down = isinstance(found, str)
        shown = [] if isinstance(found, str) else [passage.id for passage in found]
        note |= {"base": base, "passages": shown, "down": down, "next": Step.ANSWER.value}
        return Told(self.passages_text(base, found, plan.query), note)

    def _answered(self, sample: Sample, kind: str, notes: Sequence[Mapping[str, Any]]) -> Told:
        if kind == Step.FINAL:
            return Told("", {"kind": Step.FINAL.value, "next": ""})
        rounds = sum(bool(note.get("base")) for note in notes)
        return self._next(
            sample, {"kind": Step.ANSWER.value}, Step.PLAN if rounds < self.settings.rounds else Step.FINAL
        )

    def _next(self, sample: Sample, note: dict[str, Any], kind: str, plan_text: str | None = None) -> Told:
        """The demand for a turn of `kind`."""
        question = question_of(sample)
        proceed = self.settings.proceed.format(question=question) if plan_text is None else plan_text
        text = self.settings.finish.format(question=question) if kind == Step.FINAL else proceed
        return Told(text, {**note, "next": str(kind)})

    def _base(self, plan: Any, sample: Sample, notes: Sequence[Mapping[str, Any]]) -> str:
        """The base to ask, "" for none. Where the sample is `served`, that of the solution, whatever was named."""
        if plan.unusable or plan.done:
            return ""
        place = sum(bool(note.get("base")) for note in notes)
        served = sample.metadata["bases"] if sample.metadata.get("served") else ()
        return str(served[place] if place < len(served) else self.settings.names[plan.bases[0]])

    def _search(self, asked: Mapping[int, tuple[str, str, Sample]]) -> dict[int, Found]:
        """For each place what its (base, sub-question, sample) finds."""
        found: dict[int, Found] = {}
        for name, base in self.bases.items():
            places = [place for place, (named, _, _) in asked.items() if named == name]
            if not places:
                continue
            queries = [asked[place][1:] for place in places]
            hits = self._ask(name, base, queries)
            if isinstance(hits, str):
                found |= dict.fromkeys(places, hits)
                continue
            for place, (query, sample), own in zip(places, queries, hits, strict=True):
                found[place] = self._spoilt(name, base, own, f"{query}:{_asked(sample)}")[: self.settings.shown]
        return found

    def _ask(self, name: str, base: Any, queries: Sequence[tuple[str, Sample]]) -> list[list[Passage]] | str:
        """Hits, or what is shown where the base's service is down."""
        hits = self._patience.ask(name, lambda: base.find(queries, self.settings.found))
        return NO_ANSWER if hits is None else hits

    def search(self, name: str, query: str, sample: Sample) -> Found:
        """What one base shows for one sub-question."""
        return self._search({0: (name, query, sample)})[0]

    def _spoilt(self, name: str, base: Any, hits: Sequence[Passage], key: str) -> list[Passage]:
        """The hits, some of them or (of a corrupted base) all replaced by other passages of the base."""
        rate = 1.0 if name.lower() in {one.lower() for one in self.settings.corrupted} else self.settings.noise
        if not rate or not base.passages:
            return list(hits)
        rng = random.Random(f"{self.seed}:{name}:{key}")
        return [_other(base.passages, hit, rng) if rng.random() < rate else hit for hit in hits]


def _other(passages: Sequence[Passage], hit: Passage, rng: random.Random) -> Passage:
    return next((one for one in rng.choices(passages, k=8) if one.id != hit.id), hit)


def next_kind(notes: Sequence[Mapping[str, Any]]) -> str:
    """What the turn after these is."""
    return str(notes[-1]["next"]) if notes else Step.PLAN.value


def _asked(sample: Sample) -> str:
    """The question and its pictures: noise depends on nothing else."""
    return " ".join([question_of(sample), *(ref.sha256 for ref in sample.media)])


def question_of(sample: Sample) -> str:
    """The bare question."""
    return str(sample.metadata.get("question") or sample.question)


def open_desk(options: Mapping[str, Any], folder: Path, root: Path | None, seed: int = 0) -> Desk:
    """The desk of a recipe's options; `folder` and `root` as for `bases.open_bases`."""
    own = settings.of(options)
    return Desk(own, bases.open_bases(options, own, folder, root), seed)
