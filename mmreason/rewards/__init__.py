"""Graders and reward terms: one definition of a right answer for filtering, reward and evaluation."""
