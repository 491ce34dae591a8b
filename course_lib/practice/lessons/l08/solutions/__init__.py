"""The solutions of solutions/src/08_triton_paged.py, written by `course build`: change them there."""
