"""Which methods a recipe names, in which steps each acts, and who answers a hook.

methods:
  - forking_tokens                     # with its own constants
  - canon: {mu: 0.5, from: 10, until: 200}   # steps 10 to 200, both included
  - rewards.py:Brevity: {weight: 0.1}  # a class in a file of the domain's folder
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.config.grpo import GrpoSettings
from mmreason.config.strict import validate
from mmreason.errors import UserError, nearest
from mmreason.objectives import conflicts, methods
from mmreason.objectives.method import SINGLE, Method, Need, Trait, hooks_of
from mmreason.project import load_ref
from mmreason.run import processes

PHASE = ("from", "until")
"""Keys among a method's settings that bound its phase."""


@dataclass(frozen=True, slots=True)
class Active:
    """A method and its phase: steps `first` to `last`, 1-based, both included; None is the end of the run."""

    name: str
    method: Method
    first: int = 1
    last: int | None = None

    def at(self, step: int) -> bool:
        """Whether it acts in this step."""
        return self.first <= step and (self.last is None or step <= self.last)


class Composition:
    """Methods in the recipe's order. Raises UserError where two want one single hook in the same step."""

    def __init__(self, active: Sequence[Active] = ()) -> None:
        self.active = tuple(active)
        self._hooks = {each.name: frozenset(hooks_of(each.method)) for each in self.active}
        for step in self.turns():
            self._refuse_shared(step)

    def turns(self) -> list[int]:
        """The steps at which a phase begins or has ended: between two of them nothing changes."""
        ends = {each.last + 1 for each in self.active if each.last is not None}
        return sorted({1} | {each.first for each in self.active} | ends)

    def on(self, step: int) -> list[Active]:
        """What acts in this step."""
        return [each for each in self.active if each.at(step)]

    def one(self, hook: str, step: int) -> Method | None:
        """The method that has the single hook `hook`, None where the recipe's own rule holds."""
        assert hook in SINGLE, hook
        return next(iter(self.all(hook, step)), None)

    def all(self, hook: str, step: int) -> list[Method]:
        """The methods that have the hook, in the recipe's order."""
        return [each.method for each in self.having(hook, step)]

    def having(self, hook: str, step: int) -> list[Active]:
        """The same with their names."""
        return [each for each in self.on(step) if hook in self._hooks[each.name]]

    def needs(self, step: int) -> frozenset[Need]:
        """What some method of this step asks for."""
        return frozenset().union(*(each.method.needs for each in self.on(step)))

    def traits(self, step: int) -> frozenset[Trait]:
        """Traits of the methods of this step."""
        return frozenset().union(*(each.method.traits for each in self.on(step)))

    def state(self) -> dict[str, dict[str, Any]]:
        """JSON-ready state of every method by its name, active or not."""
        return {each.name: each.method.state() for each in self.active}

    def load(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Inverse of `state`. Raises UserError where the checkpoint holds other methods than the recipe."""
        names = [each.name for each in self.active]
        if set(state) != set(names):
            raise UserError(
                f"the checkpoint was made with the methods {sorted(state)}, the recipe names {sorted(names)}: "
                "resume with the same methods, or begin a run of its own"
            )
        for each in self.active:
            each.method.load(state[each.name])

    def _refuse_shared(self, step: int) -> None:
        on = self.on(step)
        for hook in sorted(SINGLE):
            _at_most_one([each.name for each in self.having(hook, step)], f"have the hook {hook!r}", step)
        replacing = [each for each in self.having("reward", step) if each.method.combine == "replace"]
        for gate in ("if_ok", "if_wrong"):
            names = [each.name for each in replacing if each.method.gate in ("always", gate)]
            _at_most_one(names, "put a reward of their own in place of the recipe's", step)
        kinds = [type(each.method) for each in on]
        _at_most_one([each.name for each in on if kinds.count(type(each.method)) > 1], "are one method twice", step)


def _at_most_one(names: Sequence[str], do: str, step: int) -> None:
    if len(names) > 1:
        raise UserError(
            f"the methods {' and '.join(names)} both {do} in step {step}, which only one may: drop one, or part their "
            "phases with `from` and `until`"
        )


def compose(grpo: GrpoSettings, folder: Path | None = None) -> Composition:
    """The methods of a recipe, checked one by one and together (conflicts.py); `folder` is the domain's."""
    composition = Composition(load_methods(grpo.methods, folder))
    for each in composition.active:
        each.method.check(grpo)
    conflicts.refuse(composition, grpo)
    return composition


def load_methods(entries: Sequence[str | Mapping[str, Any]], folder: Path | None = None) -> list[Active]:
    """One `Active` an entry, in order. Raises UserError for unknown names, settings and phases.

    A second entry of one method (in another phase) is called `name#2`: state and counters go by name.
    """
    out: list[Active] = []
    for entry in entries:
        ref, values = _split(entry)
        kind = method_class(ref, folder)
        first, last = _phase(ref, values)
        settings = {key: value for key, value in values.items() if key not in PHASE}
        method = kind(validate(kind.Settings, settings, f"grpo.methods, {ref}"))
        stem = Path(ref.partition(":")[0]).stem
        twins = sum(each.name.partition("#")[0] == stem for each in out)
        method.name = f"{stem}#{twins + 1}" if twins else stem
        out.append(Active(method.name, method, first, last))
    return out


def _split(entry: object) -> tuple[str, dict[str, Any]]:
    """Name and settings of an entry."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        [(name, values)] = entry.items()
        if isinstance(name, str) and (values is None or isinstance(values, Mapping)):
            return name, dict(values or {})
    raise UserError(f"grpo.methods holds {entry!r}: write a name, or {{name: {{setting: value}}}} with one name")


def _phase(name: str, values: Mapping[str, Any]) -> tuple[int, int | None]:
    first, last = values.get("from", 1), values.get("until")
    for key, value in zip(PHASE, (first, last), strict=True):
        if not (isinstance(value, int) and not isinstance(value, bool) and value >= 1) and value is not None:
            raise UserError(f"grpo.methods, {name}: {key}={value!r} is no step; steps count from 1")
    first = 1 if first is None else first
    if last is not None and last < first:
        raise UserError(f"grpo.methods, {name}: its phase ends at step {last}, before it begins at {first}")
    return first, last


def known_methods() -> list[str]:
    """Names of the methods that come along: the files of objectives/methods/."""
    files = Path(methods.__path__[0]).glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def method_class(ref: str, folder: Path | None = None) -> type[Method]:
    """The class behind a name, or behind 'file.py:Class' relative to `folder`.

    Raises UserError for an unknown name, with the nearest known one, and for a class that is no Method.
    """
    if ":" in ref:
        if folder is None:
            raise UserError(f"grpo.methods names {ref!r}, a file of the domain's folder, and there is no domain folder")
        found: Any = load_ref(ref, folder)
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise UserError(f"grpo.methods: {ref!r} is no subclass of mmreason.objectives.method.Method")
        return found
    names = known_methods()
    if ref not in names:
        raise UserError(f"grpo.methods: no method {ref!r}{nearest(ref, names)}; `mmreason list methods` shows them")
    module = importlib.import_module(f"{methods.__name__}.{ref}")
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    kinds = [kind for kind in own if issubclass(kind, Method) and not kind.__name__.startswith("_")]
    assert len(kinds) == 1, f"{module.__name__} holds {len(kinds)} methods, expected one"
    return kinds[0]


def check_processes(composition: Composition, whole: bool) -> None:
    """Refuse in several processes what would not give the numbers of one, or would hang. Raises UserError.

    `whole` tells that every process holds the whole model, so that it may forward as often as it likes.
    """
    if processes.size() == 1:
        return
    for each in composition.active:
        if type(each.method).state is not Method.state and not each.method.shared:
            raise UserError(
                f"method {each.name} keeps statistics of the answers it sees, and each of {processes.size()} processes "
                f"sees its own share: set launch.processes=1, or leave it out"
            )
        if not whole and (Need.SCORE in each.method.needs or "roll" in hooks_of(each.method)):
            raise UserError(
                f"method {each.name} forwards the model as often as its groups need, and under ZeRO-3 or FSDP all "
                f"processes must forward together: use launch.deepspeed=zero2.json, or leave it out"
            )
