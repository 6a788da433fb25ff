"""Engines that sample answers, behind one protocol."""
