"""Run folder, checkpoints, metrics, progress."""
