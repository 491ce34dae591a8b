"""The requests of one run on a time axis: queue, prefill, and the gap before each token."""
