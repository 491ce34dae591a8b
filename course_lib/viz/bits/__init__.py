"""Caches of fewer bits and with windows, side by side: bytes, error, answers, and what the newest token sees."""
