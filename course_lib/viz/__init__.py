"""Views over plain data: step, step back, play and scrub in the browser, a picture and a table everywhere else.

A view computes nothing and imports neither engine nor kvcache nor torch. Names arrive on first use, so that
importing this package pulls in neither Jupyter nor matplotlib.
"""

from ..lazy import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {
    "triangle": "recomputation_triangle",
    "probabilities": "next_token_probabilities",
    "filling": "cache_filling",
    "calculator": "kv_calculator",
    "reserved": "reserved_against_used",
    "memory": "memory_view",
    "timeline": "timeline_view",
    "tiles": "tiles_view",
    "programs": "programs_view",
    "reads": "block_reads_view",
    "slots": "batch_slots",
    "roofs": "roofline",
    "base": "View",
    "page": "bare_page",
    "static": "Picture",
})
