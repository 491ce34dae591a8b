"""Attention tile by tile: which are loaded, computed and skipped, and the bytes moved so far."""
