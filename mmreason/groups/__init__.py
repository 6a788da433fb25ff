"""A prompt and its rollouts as one token tree: each distinct token is computed once."""
