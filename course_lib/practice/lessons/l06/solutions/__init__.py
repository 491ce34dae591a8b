"""The solutions of solutions/src/06_flash_attention.py, written by `course build`: change them there."""
