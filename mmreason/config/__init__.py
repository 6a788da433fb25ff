"""Validated settings. Nothing here may import torch: a wrong key is refused before anything heavy loads."""

from mmreason.config.domain import Domain, SourceEntry, load_domain, with_task
from mmreason.config.load import find_system, list_systems, load_recipe, read_yaml
from mmreason.config.recipe import Recipe
from mmreason.config.task import MediaRule

__all__ = [
    "Domain",
    "MediaRule",
    "Recipe",
    "SourceEntry",
    "find_system",
    "list_systems",
    "load_domain",
    "load_recipe",
    "read_yaml",
    "with_task",
]
