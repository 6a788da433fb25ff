"""Passages, the indexes that find them, and a search service: what a retrieving environment and its recipes share."""
