"""Several training processes as one: who am I, my share of a batch, sums over all. Trivial for one process.

Whoever started the processes (`accelerate launch`, torchrun, a Slurm script around them) set RANK, WORLD_SIZE,
LOCAL_RANK, MASTER_ADDR and MASTER_PORT. Torch is imported only where processes talk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def rank() -> int:
    """Number of this process, 0 for the only one."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes files, metrics and progress."""
    return rank() == 0


def connect() -> None:
    """Join the other processes: gloo on CPU, NCCL with one GPU a process. Does nothing alone or when joined."""
    import torch
    import torch.distributed as dist

    if size() == 1 or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of a batch: every `size`-th item, so that a run of items is shared by all.

    The parts are of one length, because under ZeRO-3 every forward is a step that all processes take together.
    """
    if len(items) % size() != 0:
        raise ValueError(f"{len(items)} items cannot be shared equally by {size()} processes")
    return items[rank() :: size()]


def total(value: float) -> float:
    """Sum over all processes, in float64."""
    return _reduced(value, "SUM")


def largest(value: float) -> float:
    """Maximum over all processes."""
    return _reduced(value, "MAX")


def smallest(value: float) -> float:
    """Minimum over all processes."""
    return _reduced(value, "MIN")


def means(values: Mapping[str, float]) -> dict[str, float]:
    """Mean over all processes of each value; exact where all shares are of one size."""
    return {key: total(value) / size() for key, value in values.items()} if size() > 1 else dict(values)


def gather(rows: torch.Tensor) -> torch.Tensor:
    """From this process's float64 [n, K] to the rows of all processes [N, K], in the order of processes."""
    if size() == 1:
        return rows
    import torch
    import torch.distributed as dist

    counts = [torch.zeros((), dtype=torch.int64) for _ in range(size())]
    dist.all_gather(counts, torch.tensor(len(rows)))
    widest = max(int(count) for count in counts)
    padded = torch.zeros(widest, rows.shape[1], dtype=rows.dtype)
    padded[: len(rows)] = rows
    parts = [torch.zeros_like(padded) for _ in range(size())]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


def union(names: Sequence[str]) -> list[str]:
    """All names that any process has, sorted: what is reduced name by name must be the same everywhere."""
    if size() == 1:
        return sorted(names)
    import torch

    data = "\n".join(["", *names]).encode()
    rows = gather(torch.tensor([[float(byte)] for byte in data], dtype=torch.float64).reshape(-1, 1))
    return sorted({name for name in bytes(int(value) for value in rows[:, 0]).decode().split("\n") if name})


def _reduced(value: float, how: str) -> float:
    if size() == 1:
        return value
    import torch
    import torch.distributed as dist

    held = torch.tensor(value, dtype=torch.float64)  # gloo serves CPU tensors beside NCCL
    dist.all_reduce(held, getattr(dist.ReduceOp, how))
    return float(held)


def barrier() -> None:
    """Wait until every process is here."""
    if size() > 1:
        total(0.0)


def main_first(make: Callable[[], T]) -> T:
    """Call `make` in the main process, then in the others: what the first one builds on disk, the others find."""
    if not is_main():
        barrier()
    made = make()
    if is_main():
        barrier()
    return made
