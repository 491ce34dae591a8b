"""The solutions of solutions/src/18_capstone.py, written by `course build`: change them there."""
