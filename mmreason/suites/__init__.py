"""Versioned benchmark suites: their samples, the scoring of answers, intervals and results files."""
