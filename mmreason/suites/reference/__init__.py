"""Scorers that sets were published with, rebuilt with their faults: one module a benchmark or toolkit.

A suite names them as '<module>.<attribute>'. They stand beside the strict score and are never a reward.
"""
