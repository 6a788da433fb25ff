"""The environment of a model that searches while it thinks: a query between tags is answered by passages.

A turn ends behind a query. The passages follow inside the same assistant turn, each between its tags, and are masked
from every loss. When no search is left, the next one is answered by a text that closes the thought and opens the
answer, and after that nothing is answered any more. Nothing is kept between turns but what the rollout's
`extras["turns"]` hold; `note` says what that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.records import Rollout, Sample
from mmreason.records.rollout import SegmentKind
from mmreason.retrieval.bases import open_bases
from mmreason.retrieval.knowledge import KnowledgeBases
from mmreason.retrieval.passages import Hit
from mmreason.retrieval.patience import NO_ANSWER, Patience
from mmreason.retrieval.search_settings import SearchSettings, of
from mmreason.retrieval.tags import Call, harmless, read_call
from mmreason.rollout.environment import Reply, Setting

Found = list[Hit] | str
"""What a search gave: hits, or the line that says why it failed."""


def search_environment(setting: Setting, readers: Path, key: str = "search") -> SearchEnvironment:
    """The environment of `options.<key>`; `readers` is the folder that readers of corpora are relative to.

    Raises UserError for settings that do not fit, and where fewer turns are played than the searches need.
    """
    settings = of(setting.options, key)
    wanted = settings.max_calls + 2
    if setting.max_turns is not None and setting.max_turns < wanted:
        raise UserError(
            f"task.max_turns is {setting.max_turns}, options.{key}.max_calls {settings.max_calls}: the search too "
            f"many and the answer after it take two turns more; set max_turns to {wanted}"
        )
    return SearchEnvironment(settings, open_bases(settings, readers, setting.codec.media_root), setting.codec)


class SearchEnvironment:
    """Answers searches. `faults` counts what went wrong: "down", "bad", "forged", "over". `results` tells how what was
    found is marked: TOOL, or ECHOED where a control trains it."""

    def __init__(self, settings: SearchSettings, bases: KnowledgeBases, codec: Codec) -> None:
        self.settings, self.bases, self.codec = settings, bases, codec
        self.stop = settings.stop
        self.results = SegmentKind.TOOL
        self.faults: Counter[str] = Counter()
        self._patience = Patience(settings.down_after)

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        """See `rollout.environment.Environment`."""
        return self.reply_all([(sample, rollout)], turn)[0]

    def reply_all(self, asked: Sequence[tuple[Sample, Rollout]], turn: int) -> list[Reply | None]:
        """A reply to each; a knowledge base is asked once, with all its queries.

        Raises ServiceDown when a base was down for `down_after` turns in a row.
        """
        calls = [read_call(rollout.extras["said"][-1], self.settings) for _, rollout in asked]
        told = [rollout.extras["turns"] for _, rollout in asked]
        due = [place for place, call in enumerate(calls) if call is not None and self._is_due(call, told[place])]
        found = dict(zip(due, self._search([_whole(calls[place]) for place in due]), strict=True))
        return [self._reply(call, told[place], found.get(place)) for place, call in enumerate(calls)]

    def _is_due(self, call: Call, told: Sequence[dict[str, Any]]) -> bool:
        """Whether a search is to be made for this call."""
        return not call.fault and bool(call.base) and answered(told) < self.settings.calls and not forced(told)

    def _reply(self, call: Call | None, told: Sequence[dict[str, Any]], found: Found | None) -> Reply | None:
        if call is None:
            return None
        if call.forged or forced(told) or (call.fault and self.settings.bad == "end"):
            kind = "forged" if call.forged else "over" if forced(told) else "bad"
            self.faults[kind] += 1
            return Reply(done=True, info=note(kind, call, error=call.fault or "no search is left"))
        if answered(told) >= self.settings.calls or not (call.base or call.fault):
            return Reply((self.settings.forced,), False, note("forced", call), True, SegmentKind.INJECTED)
        if call.fault:
            self.faults["bad"] += 1
            return self._failed("bad", call, call.fault)
        assert found is not None
        return self._failed("down", call, found) if isinstance(found, str) else self._passages(call, found)

    def _search(self, calls: Sequence[Call]) -> list[Found]:
        """Base by base, so that one that is down leaves the others standing."""
        found: list[Found] = [[] for _ in calls]
        for name in dict.fromkeys(call.base for call in calls):
            places = [place for place, call in enumerate(calls) if call.base == name]
            hits = self._ask(name, [calls[place].query for place in places])
            for number, place in enumerate(places):
                found[place] = hits if isinstance(hits, str) else hits[number]
        return found

    def _ask(self, name: str, queries: list[str]) -> list[list[Hit]] | str:
        hits = self._patience.ask(name, lambda: self.bases.search(name, queries, self.settings.top))
        if hits is None:
            self.faults["down"] += len(queries)
            return NO_ANSWER
        return hits

    def _failed(self, kind: str, call: Call, reason: str) -> Reply:
        text = self.settings.failed.format(reason=harmless(reason, self.settings.tags))
        return Reply((self._written(call, [text]),), False, note(kind, call, error=reason), True, self.results)

    def _passages(self, call: Call, hits: Sequence[Hit]) -> Reply:
        texts = [self._shown(hit) for hit in hits]
        info = note("search", call, hits=[_noted(hit, text) for hit, text in zip(hits, texts, strict=True)])
        return Reply((self._written(call, texts or [self.settings.empty]),), False, info, True, self.results)

    def _written(self, call: Call, texts: Sequence[str]) -> str:
        base = self.settings.bases.get(call.base)
        tag = (base.tag if base else "") or self.settings.result
        inner = self.settings.between.join(f"<{tag}>{text}</{tag}>" for text in texts)
        return f"{self.settings.before}{inner}{self.settings.after}"

    def _shown(self, hit: Hit) -> str:
        """A passage's title and text on the tokens that it may have, with no tag that means anything."""
        text = harmless(hit.passage.contents, self.settings.tags)
        ids = self.codec.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if len(ids) <= self.settings.passage_tokens:
            return text
        kept = str(self.codec.tokenizer.decode(ids[: self.settings.passage_tokens], skip_special_tokens=False))
        return harmless(kept.rstrip("\ufffd"), self.settings.tags)


def answered(told: Sequence[dict[str, Any]]) -> int:
    """Searches so far that were answered, failed ones included."""
    return sum(turn.get("kind") in ("search", "down", "bad") for turn in told)


def forced(told: Sequence[dict[str, Any]]) -> bool:
    """Whether the final turn was demanded."""
    return any(turn.get("kind") == "forced" for turn in told)


def note(kind: str, call: Call, *, hits: Sequence[dict[str, Any]] = (), error: str = "") -> dict[str, Any]:
    """What is kept of a turn, JSON-ready.

    `kind`: "search" (answered), "down" (the base did not answer), "bad" (malformed), "forged" (a result tag by the
    model), "forced" (answered by the demand for the answer), "over" (a search after that). `hits` are what the model
    was shown: id, source, score, rank and text.
    """
    return {"kind": kind, "query": call.query, "base": call.base, "hits": list(hits), "error": error}


def _noted(hit: Hit, text: str) -> dict[str, Any]:
    passage = hit.passage
    return {"id": passage.id, "source": passage.source, "score": hit.score, "rank": hit.rank, "text": text}


def _whole(call: Call | None) -> Call:
    assert call is not None
    return call
