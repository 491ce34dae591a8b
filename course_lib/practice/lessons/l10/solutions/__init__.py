"""The solutions of solutions/src/10_continuous_batching.py, written by `course build`: change them there."""
