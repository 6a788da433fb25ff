"""Leak checks: what of an evaluation set stands in a training set, as text, document, picture or clip."""
