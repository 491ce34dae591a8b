"""The solutions of solutions/src/05_sharing_and_eviction.py, written by `course build`: change them there."""
