"""Views over plain data: step, step back, play and scrub in the browser, a picture and a table everywhere else.

A folder a view: `view.py` (the public function and the View), `model.py` (its data, prepared), `still.py` (its
picture), `view.js` (the live view). `kit` has what they share. A view computes nothing and imports neither engine nor
kvcache nor torch. Names arrive on first use, so that importing this package imports neither Jupyter nor matplotlib.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "triangle.view": "recomputation_triangle",
        "probabilities.view": "next_token_probabilities",
        "filling.view": "cache_filling",
        "calculator.view": "kv_calculator",
        "reserved.view": "reserved_against_used",
        "memory.view": "memory_view",
        "timeline.view": "timeline_view",
        "tiles.view": "tiles_view",
        "programs.view": "programs_view",
        "reads.view": "block_reads_view",
        "slots.view": "batch_slots",
        "roofs.view": "roofline",
        "charts.view": "chart panel",
        "latencies.view": "request_latencies",
        "strip.view": "step_strip",
        "bits.view": "cache_by_bits",
        "places.view": "source_map",
        "streams.view": "request_streams",
        "chat.view": "chat_box",
        "shards.view": "layer_on_gpus",
        "kit.base": "View",
        "kit.page": "bare_page",
        "kit.still": "Picture",
    },
)
