"""Training of the course's own tiny models: the tales they learn from and how they learn."""
