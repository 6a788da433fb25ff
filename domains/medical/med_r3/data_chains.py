"""Reference chains of real questions: an endpoint reasons with searches, a judge keeps the perfect ones.

As in Med-R3's data construction [8023looker/Med-R3, data_construction]: several chains a question, three passages a
search, a judge's mark from 1 to 5 of which only 5 passes, and of each accepted chain a graph whose triples say whether
they came from a passage. The chains are what rewards compare with, never what is imitated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mmreason.data.endpoint import Chat, Reply
from mmreason.data.judge import ask_object
from mmreason.data.sources import data_root
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.protocol import Protocol as Asking
from mmreason.records import Sample
from mmreason.retrieval.bases import open_bases
from mmreason.retrieval.knowledge import KnowledgeBases
from mmreason.retrieval.search_settings import SearchSettings, of
from mmreason.retrieval.tags import harmless, read_call

of_reward = load_module(Path(__file__).parent / "settings.py").of

CHARS = 4
"""Characters of a passage for each token that it may have: the endpoint's tokenizer is not known."""
_MARK = """You mark a chain of medical reasoning and its answer by the reference. Reply with one JSON object and nothing
else: {"score": 1 to 5}. 5: the answer is right and every step holds and is needed. 1: the answer is wrong."""
_GRAPH = """You turn a piece of medical reasoning into a knowledge graph. Reply with one JSON object and nothing else:
{"triples": [["one", "relation", "other", true or false], ...]}
Entities are concrete medical concepts, synonyms merged; relations are verbs from the first to the second. The last
value is true where the fact was taken from a <document>."""
_SPANS = re.compile(r"<(search|document)>.*?</\1>", re.DOTALL)


class Speaks(Protocol):
    """A chat endpoint."""

    def ask(self, messages: list[dict[str, Any]], attempt: int = 0) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Maker:
    """The endpoint, the judge and what is searched. Safe to use from several threads."""

    teacher: Speaks
    judge: Any
    settings: SearchSettings
    bases: KnowledgeBases
    asking: Asking
    chains: int
    tries: int
    top: int

    def referred(self, sample: Sample) -> Sample:
        """The sample with its accepted chains in `evidence["references"]`; how many were tried in the metadata."""
        found: list[dict[str, Any]] = []
        attempt = 0
        while attempt < self.tries and len(found) < self.chains:
            chain = self.chain(sample, attempt)
            if chain and self._mark(sample, chain) == 5:
                found.append({"triples": self._graph(chain), "text": thought_of(chain)})
            attempt += 1
        kept = replace(sample, evidence={**sample.evidence, "references": found} if found else sample.evidence)
        return kept.with_meta(chains_tried=attempt, chains_kept=len(found))

    def chain(self, sample: Sample, attempt: int) -> str:
        """One chain with its passages; empty where it did not come to an answer."""
        put = self.asking.apply(sample)
        messages: list[dict[str, Any]] = [{"role": m.role.value, "content": m.text} for m in put.prompt]
        whole = ""
        for _ in range(self.settings.max_calls + 1):
            reply = self.teacher.ask(messages, attempt)
            said = cut(_text(reply), self.settings.stop[0])
            call = read_call(said, self.settings)
            whole += said
            if call is None:
                return whole if "</think>" in whole and reply.finish != "length" else ""
            if call.fault or not call.base:
                return ""
            shown = self._shown(call.base, call.query)
            whole += shown
            messages = [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": shown}]
        return ""

    def _shown(self, base: str, query: str) -> str:
        hits = self.bases.search(base, [query], self.top)[0]
        longest, tag = CHARS * self.settings.passage_tokens, self.settings.result
        texts = [harmless(hit.passage.contents[:longest], self.settings.tags) for hit in hits]
        inner = "\n".join(f"<{tag}>{text}</{tag}>" for text in texts or [self.settings.empty])
        return f"\n{inner}\n"

    def _mark(self, sample: Sample, chain: str) -> int:
        text = f"## Question\n{sample.question}\n\n## Reference\n{sample.answer.gold}\n\n## Chain\n{chain}"
        said = ask_object(self.judge, _messages(_MARK, text), {"score": int})
        return int(said["score"]) if said else 0

    def _graph(self, chain: str) -> list[list[Any]]:
        said = ask_object(self.judge, _messages(_GRAPH, chain), {"triples": list})
        rows = said["triples"] if said else []
        return [row for row in rows if isinstance(row, list) and len(row) == 4]


def references(
    stream: Iterable[Sample | Drop], context: StepContext, chains: int = 10, tries: int = 30, top: int = 3
) -> Iterator[Sample | Drop]:
    """Data step: up to `chains` accepted chains of each question in at most `tries`; a question without one stays.

    [code]: 10 chains, 3 passages, without a bound on tries, which is ours. `options.med_r3.reasoner` reasons,
    `options.med_r3.judge` marks. Raises UserError without them, EndpointStopped when retries are spent.
    """
    own, settings = of_reward(context.recipe.options), of(context.recipe.options)
    if own.reasoner is None or own.judge is None:
        raise UserError(
            "references: set options.med_r3.reasoner and options.med_r3.judge (base_url, model) for the models that "
            "reason and mark, or leave the step out"
        )
    bases = open_bases(settings, context.domain.folder, data_root(context.domain, context.data_dir))
    cache = context.work_dir / "cache"
    teacher = Chat(own.reasoner, cache / "chains.sqlite", role="reasoner", offline=context.offline)
    judge = Chat(own.judge, cache / "marks.sqlite", role="judge", offline=context.offline)
    maker = Maker(teacher, judge, settings, bases, Asking.of(context.domain), chains, tries, top)
    try:
        yield from map_stream(stream, maker.referred, own.reasoner.concurrency)
    finally:
        teacher.close()
        judge.close()


def thought_of(chain: str) -> str:
    """The thought without its searches and their results."""
    return " ".join(_SPANS.sub(" ", chain.partition("</think>")[0]).replace("<think>", " ").split())


def cut(text: str, end: str) -> str:
    """Nothing behind the first `end`: an endpoint writes on, results of its own included."""
    before, found, _ = text.partition(end)
    return before + found


def _text(reply: Reply) -> str:
    """What was said, with reasoning that an endpoint gives apart put back into its block."""
    content = reply.content.strip()
    apart = reply.reasoning.strip() and "<think>" not in content
    return f"<think>{reply.reasoning.strip()}</think>{content}" if apart else content


def _messages(task: str, text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": task}, {"role": "user", "content": text}]
