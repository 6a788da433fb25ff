"""The two shapes of a turn: a plan names one sub-question and one base, an answer stands behind a thought.

    <think>...</think><sub-question>... | None</sub-question><ret>NAME | None</ret>
    <think>...</think><answer>...</answer>

Reading is that of the released reward (OpenBMB/MoRE, Easy-R1/verl/utils/reward_score/step.py): everything in lower
case, the first of each tag wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmreason.project import load_module

settings = load_module(Path(__file__).parent / "settings.py")
NONE: str = settings.NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan says, in lower case."""

    query: str
    bases: tuple[str, ...]
    """Names as written, several where the turn parts them by commas."""
    fault: str = ""
    """Why the plan earns nothing; empty if it can earn."""

    @property
    def unusable(self) -> str:
        """Why it cannot be carried out; empty if it can. Stricter than `fault`: one base alone, and a sub-question
        with it or neither."""
        if self.fault:
            return self.fault
        if len(self.bases) > 1:
            return f"{len(self.bases)} bases are named, one is allowed"
        if (self.query == NONE) != (self.bases[0] == NONE):
            return "sub-question and base are None together or not at all"
        return "" if self.query else "the sub-question is empty"

    @property
    def done(self) -> bool:
        """Whether it asks for nothing more."""
        return not self.unusable and self.bases == (NONE,)


def tagged(text: str, tag: str) -> str | None:
    """What stands in the first pair of this tag, stripped; None without one."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return None if found is None else found.group(1).strip()


def read_plan(text: str, names: Collection[str]) -> Plan:
    """The plan in a turn; `names` are the bases in lower case."""
    text = text.lower()
    think, query, named = (tagged(text, tag) for tag in ("think", "sub-question", "ret"))
    missing = [tag for tag, value in (("think", think), ("sub-question", query), ("ret", named)) if value is None]
    if missing or query is None or named is None:
        return Plan(query or "", (), f"no <{missing[0]}> tag")
    bases = tuple(name.strip() for name in named.split(","))
    unknown = [name for name in bases if name not in names and name != NONE]
    if unknown:
        return Plan(query, bases, f"no base is called {unknown[0]!r}")
    if NONE in bases and len(bases) > 1:
        return Plan(query, bases, "None is named beside a base")
    return Plan(query, bases)


def read_answer(text: str) -> str | None:
    """The answer in a turn, in lower case; None without a thought or without the tag."""
    text = text.lower()
    return tagged(text, "answer") if tagged(text, "think") is not None else None


def write_plan(query: str, base: str, thought: str = "") -> str:
    """A plan as a turn; "" and "" ask for nothing more."""
    asked, named = (query, base) if base else ("None", "None")
    return f"<think>{thought}</think><sub-question>{asked}</sub-question><ret>{named}</ret>"


def write_answer(answer: str, thought: str = "") -> str:
    """An answer as a turn."""
    return f"<think>{thought}</think><answer>{answer}</answer>"
