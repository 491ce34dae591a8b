"""The solutions of solutions/src/14_smaller_caches.py, written by `course build`: change them there."""
