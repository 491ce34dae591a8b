"""Attention in plain torch: the algorithms of lesson 06, and the torch twin of each kernel."""
