"""What a recipe may say about R1-Router under `options: {r1_router: {...}}`: knowledge bases, rounds, step rewards.

Sources: arXiv 2505.22095 (v2: MoRE) through its abstract and a digest [digest], and the repository OpenBMB/MoRE at
9039ab3 [repo]; the paper's body and tables could not be read. What they leave open is [reconstructed], with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate
from mmreason.retrieval.make import RetrievalSettings

NONE = "none"
"""What a plan writes in place of question and base when it needs no more."""


class LongGold(StrEnum):
    """What a gold answer of more than `short_words` words pays."""

    RECALL = "recall"
    """Its token recall [repo], which long answers can game."""
    F1 = "f1"
    """Token F1, which they can not."""


class Step(StrEnum):
    """What a turn of the model is."""

    PLAN = "plan"
    ANSWER = "answer"
    """To the sub-question, from the passages."""
    FINAL = "final"


class BaseSettings(Strict):
    """One knowledge base."""

    tag: str = Field(pattern=r"^\S+$")
    """Before each of its passages, as in "ter-0: ..." [repo]."""
    reader: str = ""
    """'file.py:function' that reads a corpus, relative to the domain's folder."""
    files: list[str] = Field(default_factory=list)
    """Files or folders under the data folder."""
    retrieval: RetrievalSettings = RetrievalSettings()


OFFICIAL = {
    "Text Retriever": BaseSettings(tag="ter"),
    "Text Image Retriever": BaseSettings(tag="tir"),
    "Table Retriever": BaseSettings(tag="tar"),
}
"""The three bases by the names that plans write [repo: src/prompt.py]."""


class RouterSettings(Strict):
    """Rounds, texts and rewards of R1-Router."""

    bases: dict[str, BaseSettings] = Field(default_factory=lambda: dict(OFFICIAL))
    """Name -> base, in the order of the prompt."""
    rounds: int = Field(3, ge=1)
    """Most plans of one question [repo]."""
    found: int = Field(10, ge=1)
    """Passages that a base returns [repo]."""
    shown: int = Field(5, ge=1)
    """Passages of those that the model reads [repo]."""
    tries: int = Field(5, ge=1)
    """Plans written until one can be read; after the last the final answer is demanded [repo]."""
    stop_at_tags: bool = False
    """A turn ends with </ret>, or with </answer> and a line break, before the model closes it: then whole trajectories
    can be learnt from, turn by turn (`mmreason/rollout/replay.py`). Off: a turn ends as the model ends it [repo]."""
    made_up: bool = False
    """Where none of the bases' files is in the data folder, they hold the made-up world."""
    passage_words: int = Field(100, ge=1)
    """Words of a passage that are shown [repo: its passages are windows of 100 words]."""
    noise: float = Field(0.0, ge=0, le=1)
    """Made-up world: chance that a passage is another one of its base [small-scale check: 0.1]."""
    corrupted: list[str] = Field(default_factory=list)
    """Bases all of whose passages are others of the same base: what the policy does when one cannot be relied on."""

    w_query: float = Field(0.5, ge=0)
    """Of the sub-question's similarity in a plan's reward [repo]."""
    w_route: float = Field(0.5, ge=0)
    """Of having named the teacher's base, alone [repo]."""
    encoder: str = "BAAI/bge-m3"
    """Whose similarity it is: any encoder of `../armed/similarity.py`, or 'words' for token F1 [repo: BGE-M3]."""
    short_words: int = Field(5, ge=1)
    """Golds of at most so many words pay 1 where all of their tokens are said, else 0 [repo]."""
    long_gold: LongGold = LongGold.RECALL
    """What longer ones pay [repo]."""
    call_cost: float = Field(0.0, ge=0)
    """Taken off for each plan that asks a base [repo: none; fewer calls are claimed and never rewarded]."""

    ask: str = (
        "According to the related information searched, {legend}:\n{passages}\n\n"
        " Give me the answer(with the format <answer></answer>) to the Question: {query}"
    )
    """Shown with the passages, with the holes {legend}, {passages} and {query} [repo: src/answer_generation.py]."""
    empty: str = "no passage found"
    """In place of passages where a base finds none [reconstructed]."""
    legend: str = "`{tag}` means this info is from {base}"
    """One base in the legend of `ask`."""
    proceed: str = "Origin question: {question}\nWrite the next sub-question and its retriever, or None and None."
    """After an answer, with the hole {question} [reconstructed: the released code begins a fresh prompt here]."""
    finish: str = "Now, give me the final answer of the origin question: {question}"
    """Demands the final answer, with the hole {question} [repo]."""
    correct: str = (
        "The format is wrong. Write <think>...</think><sub-question>one question, or None</sub-question>"
        "<ret>one retriever, or None</ret>"
    )
    """After a plan that cannot be read [reconstructed: the released text comes before the third try alone]."""

    @model_validator(mode="after")
    def _together(self) -> RouterSettings:
        names = [name.lower().strip() for name in self.bases]
        if not names or len(set(names)) < len(names) or NONE in names:
            raise ValueError(f"bases are named {list(self.bases)}: give each a name of its own, none of them 'none'")
        if any("," in name for name in names):
            raise ValueError(f"bases are named {list(self.bases)}: a comma parts several bases in a plan, take it out")
        unknown = sorted({name.lower() for name in self.corrupted} - set(names))
        if unknown:
            raise ValueError(f"corrupted names {unknown}, the bases are {list(self.bases)}")
        if self.shown > self.found:
            raise ValueError(f"shown {self.shown} exceeds found {self.found}: no more passages are there to read")
        for name, holes in _HOLES.items():
            _check_holes(name, getattr(self, name), holes)
        return self

    @property
    def names(self) -> dict[str, str]:
        """Name as plans are read (lower case) -> as it is declared."""
        return {name.lower().strip(): name for name in self.bases}

    @property
    def answer_end(self) -> str:
        """Behind an answer that is not the last."""
        return "\n" if self.stop_at_tags else ""

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a turn."""
        return ("</ret>", f"</answer>{self.answer_end}") if self.stop_at_tags else ()

    @property
    def max_turns(self) -> int:
        """Turns of the longest episode without a failed plan: a plan and an answer a round, and the final answer."""
        return 2 * self.rounds + 1

    @property
    def most_turns(self) -> int:
        """Turns of the longest episode with as many failed plans as are heard."""
        return self.max_turns + self.tries


_HOLES = {
    "ask": ("legend", "passages", "query"),
    "legend": ("tag", "base"),
    "proceed": ("question",),
    "finish": ("question",),
}


def _check_holes(name: str, text: str, holes: tuple[str, ...]) -> None:
    try:
        text.format(**dict.fromkeys(holes, ""))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        known = " and ".join(f"{{{hole}}}" for hole in holes)
        raise ValueError(f"{name} {text!r} has a hole beside {known} ({error!r})") from None


def of(options: Mapping[str, Any]) -> RouterSettings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(RouterSettings, options.get("r1_router", {}), "options.r1_router")
