"""How a question is put and read; the same object in data, reward and evaluation."""

from mmreason.protocol.protocol import Protocol

__all__ = ["Protocol"]
