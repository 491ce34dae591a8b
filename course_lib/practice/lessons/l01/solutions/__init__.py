"""The solutions of solutions/src/01_naive_decoding.py, written by `course build`: change them there."""
