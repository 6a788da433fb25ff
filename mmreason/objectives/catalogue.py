"""What `mmreason list methods` and docs/methods.md show: read from the code, so that neither can be out of date.

python -m mmreason.objectives.catalogue > docs/methods.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mmreason.config.algorithms import list_algorithms, read_algorithm, summary
from mmreason.objectives.compose import known_methods, method_class
from mmreason.objectives.conflicts import CONFLICTS
from mmreason.objectives.method import SINGLE, hooks_of

PUBLISHED = """
lite_ppo 2, reseek 3, light_if 5, siren 7, ettrl 9, epo 10, igpo 11, verl 13, hicra 14, ruscarl 17, ampo 19, ghpo 20,
canon 21, dars 22, think_rm 25, seele 26, ikea 28, expa_earl 29, rule_reasoner 30, rover 33, deepsearch 38,
grpo_tcr 39, spear 40, oreal 41, lp_reg 42, rlpr 43, cure 44, clpo 46, dler 47, steer 49, hapo 50, rep_exp 52,
p_grpo 53, clip_cov 54, kl_cov 54, rlp 55, forking_tokens 56, arpo 57, siri 58, r_horizon 59, latr 60, thr 61,
archer 62, laser_d 64, libra 66, ctrls 67, rex_rag 71, pear 73, zero_search 76, riskpo 77, rlsp 80, in_forage 81,
mrt 82, astro 83, empo 86, spct 88, aepo 90, t_ppo 92, bro_rl 93, open_rs 94, e_grpo 97, oreo 101, hbpo 103, urpo 105,
ai_search_planner 106, rl_plus 107, critique_grpo 108
"""
"""Published changes to GRPO that the survey of RLVR methods (the zoo) restates, with their numbers there; one paper
holds two. The one list of names: what has no file is absent."""

BESIDE = frozenset({"reward_spread"})
"""Methods that come along and are not in that survey."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One method as the lists show it."""

    name: str
    hooks: tuple[str, ...]
    needs: tuple[str, ...]
    provenance: str
    source: str
    line: str


def entries() -> list[Entry]:
    """The methods that come along, by name."""
    return [_entry(name) for name in known_methods()]


def _entry(name: str) -> Entry:
    kind = method_class(name)
    doc = sys.modules[kind.__module__].__doc__ or ""
    line = " ".join(doc.strip().partition("\n\n")[0].split())
    needs = tuple(sorted(kind.needs))
    return Entry(name, hooks_of(kind), needs, kind.provenance, kind.source or "reconstructed", line)


def published() -> dict[str, int]:
    """Name -> number in the zoo."""
    pairs = [word.rsplit(maxsplit=1) for word in PUBLISHED.split(",")]
    return {name.strip(): int(number) for name, number in pairs}


def absent() -> list[str]:
    """Published methods that have neither a file nor a set of values."""
    here = {*known_methods(), *list_algorithms()}
    return [name for name in published() if name not in here]


def lines() -> Iterator[str]:
    """For a terminal."""
    yield "settled base, for grpo.algorithm:"
    for name, path in list_algorithms().items():
        yield f"  {name}  {summary(path)}"
    yield "methods, for grpo.methods:"
    for entry in entries():
        needs = f"  needs {', '.join(entry.needs)}" if entry.needs else ""
        yield f"  {entry.name}  [{', '.join(entry.hooks)}]{needs}  {entry.line}  {entry.provenance}: {entry.source}"
    yield f"absent: {', '.join(absent())}"


PAGE = """\
# Methods

This page is printed by `python -m mmreason.objectives.catalogue`; a test keeps the two equal.

A run's RL is a settled base, chosen by `grpo.algorithm`, and any number of changes on top, named in `grpo.methods`:

```yaml
grpo:
  algorithm: dapo              # values of training/algorithms/dapo.yaml under the keys set here
  overlong_buffer: 512
  methods:
    - forking_tokens           # a name: the authors' constants
    - hicra: {alpha: 0.1, from: 20, until: 200}   # settings; `from` and `until` bound a phase in steps, both included
    - rewards.py:Brevity: {target: 100}           # a class of your own in the domain's folder
```

A method is one file with one class, which overrides the hooks it uses (`mmreason/objectives/method.py` has their order
and what each is given). Its constants are its `Settings`, each marked as published or reconstructed; its counters reach
`metrics.jsonl` as `method/<name>/<counter>`. Two methods that share a hook marked * below, two that put a reward of
their own in the recipe's place, and one method twice are refused where their phases meet. Provenance: published
(formula read in paper, released code or a digest), reconstructed (formula not seen), mixed.
"""


def page() -> str:
    """docs/methods.md."""
    parts = [PAGE, "## Settled base\n", *_base(), "\n## Methods\n", *_methods(), "\n## Conflicts\n", *_conflicts()]
    names = [f"{name} ({number})" for name, number in published().items() if name in absent()]
    return "\n".join([*parts, "\n## Absent\n", "Number in the survey behind each name.\n", ", ".join(names)]) + "\n"


def _base() -> Iterator[str]:
    yield "| algorithm | what it is | values |\n|---|---|---|"
    for name, path in list_algorithms().items():
        values = ", ".join(f"{key} {value}" for key, value in read_algorithm(name).items())
        yield f"| `{name}` | {summary(path)} | {values} |"


def _methods() -> Iterator[str]:
    yield "| method | what changes | hooks | needs | provenance | source |\n|---|---|---|---|---|---|"
    for e in entries():
        hooks = ", ".join(f"{hook}*" if hook in SINGLE else hook for hook in e.hooks)
        yield f"| `{e.name}` | {e.line} | {hooks} | {', '.join(e.needs)} | {e.provenance} | {e.source} |"


def _conflicts() -> Iterator[str]:
    yield "Methods whose phases never meet do not conflict. A refusal is one line with the reason and the way out.\n"
    yield "| | conflict | | what is refused, or what resolves it |\n|---|---|---|---|"
    for conflict in CONFLICTS:
        kind = "refused" if conflict.refused else "resolved"
        yield f"| {conflict.number} | {conflict.title} | {kind} | {conflict.how} |"


if __name__ == "__main__":
    sys.stdout.write(page())
