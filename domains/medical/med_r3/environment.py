"""Med-R3's search environment: `environment: med_r3/environment.py:search`; see mmreason/retrieval/environment.py."""

from __future__ import annotations

from pathlib import Path

from mmreason.project import load_module
from mmreason.records.rollout import SegmentKind
from mmreason.retrieval.environment import SearchEnvironment, search_environment
from mmreason.rollout.environment import Setting

settings = load_module(Path(__file__).parent / "settings.py")


def search(setting: Setting) -> SearchEnvironment:
    """The knowledge bases of `options.search`; readers are relative to the domain's folder."""
    made = search_environment(setting, Path(__file__).parents[1])
    if settings.of(setting.options).results_trained:
        made.results = SegmentKind.ECHOED
    return made
