"""The solutions of solutions/src/15_speculative_decoding.py, written by `course build`: change them there."""
