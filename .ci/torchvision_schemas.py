"""Registers torchvision's two C++ operator schemas before torchvision loads, where its build is not torch's.

Its Python files refer to `torchvision::nms` and `torchvision::qnms` while they are imported; a CUDA build beside a CPU
torch cannot load the library that defines them. Nothing here calls them.
"""

from __future__ import annotations

import importlib.abc
import sys
from types import ModuleType

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
KEPT: list[object] = []
"""The schemas live as long as their library."""


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        KEPT.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
