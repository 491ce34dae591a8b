"""What the model's attention remembers: one class a lesson, all behind the same door."""

from .recompute import Recompute

__all__ = ["Recompute"]
