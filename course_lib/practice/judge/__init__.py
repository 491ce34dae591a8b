"""Runs an answer, decides whether it is right, and names its mistake."""
