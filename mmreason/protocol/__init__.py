"""How a question is put and read; the same object in data, reward and evaluation."""

from mmreason.protocol.protocol import READER_VERSION, Protocol

__all__ = ["READER_VERSION", "Protocol"]
