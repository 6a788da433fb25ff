"""Card, report and rollout viewer, made from a run folder alone."""
